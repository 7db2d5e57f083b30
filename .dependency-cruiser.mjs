// The direction rule (abi-spec/README.md): a room imports only rooms before it, and siblings never import each other.
const layers = [
  ['src/abi'],
  ['src/journal', 'src/derive', 'src/tokens', 'src/search'],
  ['src/context', 'src/engine', 'src/wiki'],
  ['src/session'],
  ['src/image', 'src/interop'],
  ['src/tree'],
  ['mount'],
  ['src/cli'],
];

const pattern = (rooms) => `^(${rooms.join('|')})/`;
const above = layers.slice(0, -1).map((rooms, index) => ({
  name: `direction-${rooms.map((room) => room.replace('src/', '')).join('-')}`,
  comment:
    'A room imports only rooms before it: abi, then journal derive tokens search, then context engine wiki, session, image interop, tree, mount, cli.',
  severity: 'error',
  from: { path: pattern(rooms) },
  to: { path: pattern(layers.slice(index + 1).flat()) },
}));
const siblings = ['src/context', 'src/engine', 'src/wiki'].map((room) => ({
  name: `sibling-${room.replace('src/', '')}`,
  comment: 'context, engine and wiki do not import each other: session wires them.',
  severity: 'error',
  from: { path: pattern([room]) },
  to: { path: pattern(['src/context', 'src/engine', 'src/wiki'].filter((other) => other !== room)) },
}));

export default {
  forbidden: [
    ...above,
    ...siblings,
    {
      name: 'no-tests',
      severity: 'error',
      comment: 'What ships never imports tests.',
      from: { path: '^(src|mount)/' },
      to: { path: '^test/' },
    },
    {
      name: 'no-cycle',
      severity: 'error',
      comment: 'Modules that need each other are one module.',
      from: { path: '^(src|mount)/' },
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    { name: 'no-missing', severity: 'error', comment: 'Every import resolves.', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-dev',
      severity: 'error',
      comment: 'What ships uses no development dependency.',
      from: { path: '^(src|mount)/' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: 'specify',
    enhancedResolveOptions: {
      extensions: ['.ts', '.js', '.mjs'],
      exportsFields: ['exports'],
      conditionNames: ['import', 'node', 'default'],
    },
  },
};
