// Laws are tried on the same examples in every run: what a run says is about the change it ran for, not about its luck.
// CTX_SEED=NUMBER tries others; whoever looks for counterexamples runs many. A failing law prints its seed and its path.
import fc from 'fast-check';

const SEED = 20_261_120;

const given = Number(process.env['CTX_SEED']);
fc.configureGlobal({ seed: Number.isInteger(given) && given !== 0 ? given : SEED });
