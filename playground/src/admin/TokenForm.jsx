import { useId, useState } from 'react';
import { setToken } from './auth.js';

/** Asks for the admin token; nothing else is shown until it is accepted. */
export function TokenForm({ isWrong }) {
  const id = useId();
  const [value, setValue] = useState('');
  const submit = (event) => {
    event.preventDefault();
    setToken(value);
  };
  return (
    <main className="token">
      <h1>Colophon admin</h1>
      <form onSubmit={submit}>
        <label htmlFor={id}>Admin token</label>
        <input
          id={id}
          type="password"
          autoComplete="off"
          required
          autoFocus
          value={value}
          onChange={(event) => setValue(event.target.value)}
          aria-invalid={isWrong}
          aria-describedby={`${id}-help ${id}-error`}
        />
        <button type="submit" className="cx-button">Open</button>
        <p id={`${id}-error`} role="alert" className="cx-error-text">{isWrong ? 'This token is wrong.' : ''}</p>
        <p id={`${id}-help`} className="muted">
          The value of COLOPHON_ADMIN_TOKEN. It is kept in this tab until you close it or choose “Forget token”.
        </p>
      </form>
    </main>
  );
}
