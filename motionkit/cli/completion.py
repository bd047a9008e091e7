"""`motionkit completion`: scripts with which bash, zsh and fish complete verbs, keys and values."""

from __future__ import annotations

from motionkit.cli import keys as declared
from motionkit.errors import UserError, unknown

BASH = """# motionkit for bash: eval "$(motionkit completion bash)", in ~/.bashrc
_motionkit() {
  local line="${COMP_LINE:0:COMP_POINT}" words cur
  read -ra words <<< "$line"
  [[ "$line" == *[[:space:]] ]] && words+=("")
  cur="${words[${#words[@]}-1]}"
  local IFS=$'\\n'
  COMPREPLY=($(command motionkit completion query "${words[@]:1}" 2>/dev/null))
  if [[ ${#COMPREPLY[@]} -eq 0 ]]; then
    compopt -o default
  elif [[ "$cur" == *=* && "$COMP_WORDBREAKS" == *=* ]]; then
    COMPREPLY=("${COMPREPLY[@]#*=}")
  elif [[ "${COMPREPLY[0]}" == *= ]]; then
    compopt -o nospace
  fi
}
complete -F _motionkit motionkit
"""
ZSH = """#compdef motionkit
# motionkit for zsh: eval "$(motionkit completion zsh)", in ~/.zshrc after compinit
_motionkit() {
  local -a found
  found=("${(@f)$(command motionkit completion query "${(@)words[2,CURRENT]}" 2>/dev/null)}")
  found=("${(@)found:#}")
  if (( ${#found} )); then
    compadd -S '' -q -- "${(@)found}"
  else
    compset -P '*='
    _files
  fi
}
compdef _motionkit motionkit
"""
FISH = """# motionkit for fish: motionkit completion fish > ~/.config/fish/completions/motionkit.fish
function __motionkit
  set -l words (commandline -opc) (commandline -ct)
  command motionkit completion query $words[2..-1] 2>/dev/null
end
complete -c motionkit -a '(__motionkit)'
"""
SHELLS = {"bash": BASH, "zsh": ZSH, "fish": FISH}
HELP = """usage: motionkit completion bash|zsh|fish

Prints a script for the shell, which then completes verbs, keys (a method's own too), and values. To have it always:
  bash    eval "$(motionkit completion bash)"      in ~/.bashrc
  zsh     eval "$(motionkit completion zsh)"       in ~/.zshrc, after compinit
  fish    motionkit completion fish > ~/.config/fish/completions/motionkit.fish
"""


def main(argv: list[str]) -> int:
    """Run the verb; returns the exit code."""
    if argv[:1] == ["query"]:
        print("".join(f"{line}\n" for line in candidates(argv[1:])), end="")
        return 0
    if len(argv) != 1:
        raise UserError(f"completion needs a shell: {', '.join(SHELLS)}")
    if argv[0] not in SHELLS:
        raise unknown("shell", argv[0], SHELLS)
    print(SHELLS[argv[0]], end="")
    return 0


def candidates(words: list[str]) -> list[str]:
    """Completions of the last word of a command line; none where it is a file or free text."""
    from motionkit.cli import VERBS

    *before, word = words or [""]
    if not before:
        return [verb for verb in VERBS if verb.startswith(word)]
    verb = before[0]
    try:
        found = _words(verb, before[1:], word)
    except UserError:  # of the words before
        return []
    return sorted(candidate for candidate in found if candidate.startswith(word))


def _words(verb: str, before: list[str], word: str) -> list[str]:
    from motionkit import registry

    if verb == "completion":
        return [] if before else list(SHELLS)
    if verb in ("methods", "cite"):
        return registry.names()
    if verb == "backbones":
        return [name for name in declared.values(verb, "backbone") if name not in ("auto", "pocket", "tiny")]
    if verb == "cache" and not before:
        return ["list", "prune"]
    if verb == "data" and not before:
        from motionkit.data.sets import SETS

        return list(SETS)
    key, equals, value = word.partition("=")
    if not equals:
        return [f"{name}=" for name in dict.fromkeys(declared.keys(verb, before))]
    start, bracket, last = value.rpartition("[")
    head, comma, _ = last.rpartition(",")
    return [f"{key}={start}{bracket}{head}{comma}{choice}" for choice in declared.values(verb, key, before)]
