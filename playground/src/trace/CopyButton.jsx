import { useEffect, useState } from 'react';

// navigator.clipboard exists only on https and localhost.
function copyBySelection(text) {
  const area = document.createElement('textarea');
  area.value = text;
  document.body.append(area);
  area.select();
  const isCopied = document.execCommand('copy');
  area.remove();
  return isCopied;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return copyBySelection(text);
  }
}

export function CopyButton({ text, label }) {
  const [status, setStatus] = useState('');
  useEffect(() => {
    if (!status) return undefined;
    const timer = setTimeout(() => setStatus(''), 3000);
    return () => clearTimeout(timer);
  }, [status]);
  const onClick = async () => setStatus(await copy(text) ? 'Copied' : 'Cannot copy');
  return (
    <span className="cx-copy">
      <button type="button" className="cx-button" onClick={onClick}>{label}</button>
      <span role="status">{status}</span>
    </span>
  );
}
