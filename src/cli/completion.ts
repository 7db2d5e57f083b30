// ctx completion: a script for bash, zsh or fish, made from the commands themselves.
import type { Argument, Command } from 'commander';

import { ROLES } from '../abi/records.ts';
import { KV_TYPES } from '../engine/models.ts';
import { usageError } from './errors.ts';
import { TARGETS } from './export.ts';
import { FORMAT_NAMES } from './import.ts';
import { examples, type Shell } from './shell.ts';

interface VerbShape {
  readonly name: string;
  readonly about: string;
  readonly options: readonly { readonly long: string; readonly about: string }[];
  /** Verbs whose first argument is a session, an image or either complete to their names, wherever they stand. */
  readonly takes: readonly ('ls' | 'images')[];
  /** Words that a verb with verbs of its own goes on with. */
  readonly words: readonly string[];
}

/** Words that may follow an option, where there are few. */
const VALUES: Readonly<Record<string, readonly string[]>> = {
  '--from': FORMAT_NAMES.split(', '),
  '--to': TARGETS,
  '--role': ROLES,
  '--driver': ['kernel', 'fuse-native', 'llama', 'llama-server', 'openai'],
  '--kv': KV_TYPES,
};

const SHELLS: Readonly<Record<string, (verbs: readonly VerbShape[]) => string>> = { bash, zsh, fish };

export function registerCompletion(program: Command, shell: Shell): void {
  program
    .command('completion')
    .description('print a completion script for a shell')
    .argument('<shell>', Object.keys(SHELLS).join(', '))
    .addHelpText(
      'after',
      examples(['source <(ctx completion bash)', 'this shell'], ['ctx completion fish > ~/.config/fish/completions/ctx.fish', 'for good']),
    )
    .action((name: string) => {
      const script = Object.hasOwn(SHELLS, name) ? SHELLS[name] : undefined;
      if (script === undefined) throw usageError(`${name} is not a shell that can be completed`, `use ${Object.keys(SHELLS).join(', ')}`);
      shell.terminal.line(script(shapes(program)));
    });
}

function shapes(program: Command): readonly VerbShape[] {
  return program.commands.map((command) => ({
    name: command.name(),
    about: command.description(),
    options: [
      ...new Map(
        [command, ...command.commands]
          .flatMap(({ options }) => options)
          .map((option) => [option.long ?? option.flags, { long: option.long ?? option.flags, about: option.description }]),
      ).values(),
      { long: '--help', about: 'show help' },
    ],
    words: command.commands.map((inner) => inner.name()),
    takes: takenBy(command.registeredArguments[0]),
  }));
}

function takenBy(argument: Argument | undefined): VerbShape['takes'] {
  const name = argument?.name() ?? '';
  const session = ['session', 'from', 'a'].includes(name);
  const image = name === 'image' || (session && /\bimage\b/.test(argument?.description ?? ''));
  return [...(session ? (['ls'] as const) : []), ...(image ? (['images'] as const) : [])];
}

function verbsThatTake(verbs: readonly VerbShape[], what: 'ls' | 'images'): string {
  return verbs
    .filter(({ takes }) => takes.includes(what))
    .map(({ name }) => name)
    .join(' ');
}

/** A command line that prints what an argument may be. */
function namesLine(takes: VerbShape['takes']): string {
  return takes.map((what) => `ctx ${what} --names 2>/dev/null`).join('; ');
}

function bash(verbs: readonly VerbShape[]): string {
  const cases = verbs.map((verb) => `    ${verb.name}) options='${verb.options.map(({ long }) => long).join(' ')}' ;;`);
  const values = Object.entries(VALUES).map(
    ([long, words]) => `    ${long}) COMPREPLY=($(compgen -W '${words.join(' ')}' -- "$word")); return ;;`,
  );
  const inner = verbs
    .filter(({ words }) => words.length > 0)
    .map(
      ({ name, words }) => `    ${name}) [ "$COMP_CWORD" -eq 2 ] && COMPREPLY=($(compgen -W '${words.join(' ')}' -- "$word")) && return ;;`,
    );
  return `_ctx() {
  local word="\${COMP_WORDS[COMP_CWORD]}" verb="\${COMP_WORDS[1]}" options=
  # The whole word: readline breaks words at the colon of NAME:TAG.
  if [ -n "$COMP_LINE" ]; then word="\${COMP_LINE:0:COMP_POINT}"; word="\${word##*[[:space:]]}"; fi
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${verbs.map((verb) => verb.name).join(' ')}' -- "$word"))
    return
  fi
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
    completion) COMPREPLY=($(compgen -W '${Object.keys(SHELLS).join(' ')}' -- "$word")); return ;;
${inner.join('\n')}
${values.join('\n')}
  esac
  case "$verb" in
${cases.join('\n')}
  esac
  if [[ "$word" == -* ]]; then
    COMPREPLY=($(compgen -W "$options" -- "$word"))
  else
    [[ ' ${verbsThatTake(verbs, 'ls')} ' == *" $verb "* ]] && COMPREPLY+=($(compgen -W "$(ctx ls --names 2>/dev/null)" -- "$word"))
    [[ ' ${verbsThatTake(verbs, 'images')} ' == *" $verb "* ]] && COMPREPLY+=($(compgen -W "$(ctx images --names 2>/dev/null)" -- "$word"))
    COMPREPLY+=($(compgen -f -- "$word"))
  fi
  if [[ "$word" == *:* && "$COMP_WORDBREAKS" == *:* ]]; then COMPREPLY=("\${COMPREPLY[@]#"\${word%"\${word##*:}"}"}"); fi
}
complete -o filenames -F _ctx ctx`;
}

const ZSH_NAMES = [['ls'], ['images'], ['ls', 'images']] as const;

/** What zsh offers as arguments. */
function offered({ takes, words }: VerbShape): string {
  if (takes.length > 0) return `'*:name:_ctx_${takes.join('_')}'`;
  return `${words.length > 0 ? `'1:verb:(${words.join(' ')})' ` : ''}'*:file:_files'`;
}

function zsh(verbs: readonly VerbShape[]): string {
  const quote = (text: string): string => text.replaceAll("'", "'\\''").replaceAll('[', '(').replaceAll(']', ')').replaceAll(':', ' -');
  const names = verbs.map((verb) => `    '${verb.name}:${quote(verb.about)}'`);
  const cases = verbs.map(
    (verb) =>
      `    ${verb.name}) _arguments ${verb.options.map(({ long, about }) => `'${long}[${quote(about)}]'`).join(' ')} ${offered(verb)} ;;`,
  );
  return `#compdef ctx
${ZSH_NAMES.map((takes) => `_ctx_${takes.join('_')}() { compadd -- \${(f)"$(${namesLine(takes)})"}; _files }`).join('\n')}
_ctx() {
  local -a verbs=(
${names.join('\n')}
  )
  if (( CURRENT == 2 )); then _describe verb verbs; return; fi
  local verb="$words[2]"
  shift words; (( CURRENT-- ))
  case "$verb" in
${cases.join('\n')}
  esac
}
compdef _ctx ctx`;
}

function fish(verbs: readonly VerbShape[]): string {
  const quote = (text: string): string => text.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
  const lines = ['complete -c ctx -f -n __fish_use_subcommand'];
  for (const verb of verbs) {
    lines.push(`complete -c ctx -n __fish_use_subcommand -a ${verb.name} -d '${quote(verb.about)}'`);
    const inside = `-n '__fish_seen_subcommand_from ${verb.name}'`;
    for (const { long, about } of verb.options) lines.push(`complete -c ctx ${inside} -l ${long.replace(/^--/, '')} -d '${quote(about)}'`);
    if (verb.words.length > 0) lines.push(`complete -c ctx ${inside} -a '${verb.words.join(' ')}'`);
    if (verb.takes.length > 0) lines.push(`complete -c ctx ${inside} -a '(${namesLine(verb.takes)})'`);
  }
  return lines.join('\n');
}
