//! What variables may say beyond values: nothing at all, as Compose makes them of settings that it has
//! no value for; and, for a setting with a secret whose variable is `X`, by `X_FILE` the name of a
//! file that holds it.

use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    path::Path,
};

use clap::{Arg, Command, builder::Resettable};

/// `command` without the variables that are empty: they count as not set.
#[must_use]
pub fn without_empty(command: Command) -> Command {
    command.mut_args(|arg| {
        let is_empty = |name: &OsStr| env::var_os(name).is_some_and(|value| value.is_empty());
        if arg.get_env().is_some_and(is_empty) { arg.env(Resettable::Reset) } else { arg }
    })
}

/// `command`, with what files say in the place of defaults, so that a flag still wins.
///
/// # Errors
/// If a file cannot be read, or a variable says something else beside it.
pub fn with_secrets(mut command: Command) -> Result<Command, String> {
    let secrets: Vec<Arg> = command.get_arguments().filter(|arg| is_secret(arg)).cloned().collect();
    for arg in secrets {
        if let Some(secret) = read(&arg)? {
            command = command
                .mut_arg(arg.get_id(), |arg| arg.default_value(secret).hide_default_value(true));
        }
    }
    Ok(command)
}

/// Whether the setting's value is not to be shown as it is.
pub(super) fn is_secret(arg: &Arg) -> bool {
    arg.is_hide_env_values_set()
}

/// Whether a file says the setting's value, unless a flag does.
pub(super) fn is_in_file(arg: &Arg) -> bool {
    is_secret(arg) && file_variable(arg).is_some_and(|variable| variable_of(&variable).is_some())
}

/// What a variable says, if it says anything.
fn variable_of(name: impl AsRef<OsStr>) -> Option<OsString> {
    env::var_os(name).filter(|value| !value.is_empty())
}

fn file_variable(arg: &Arg) -> Option<String> {
    Some(format!("{}_FILE", arg.get_env()?.to_str()?))
}

fn read(arg: &Arg) -> Result<Option<String>, String> {
    let Some(variable) = file_variable(arg) else { return Ok(None) };
    let Some(path) = variable_of(&variable) else { return Ok(None) };
    if arg.get_env().is_some_and(|own| variable_of(own).is_some()) {
        let own = variable.trim_end_matches("_FILE");
        return Err(format!("both {own} and {variable} are set: take one of them"));
    }
    let path = Path::new(&path);
    let text = fs::read_to_string(path).map_err(|error| {
        format!("cannot read {}, which {variable} names: {error}", path.display())
    })?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err(format!("{}, which {variable} names, is empty", path.display()));
    }
    Ok(Some(secret.to_owned()))
}
