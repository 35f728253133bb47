// The random numbers of faiss, so that K-means begins here from the same pixels as in Python and ends in the same clusters.
// faiss takes them from the Mersenne twister MT19937 (Matsumoto and Nishimura 1998), as C++'s std::mt19937 gives them.

const SIZE = 624;
const MIDDLE = 397;

/** A function that gives the next whole number in 0 .. 2^32 - 1. */
export function mersenneTwister(seed) {
  const state = new Uint32Array(SIZE);
  state[0] = seed;
  for (let i = 1; i < SIZE; i++) {
    const last = state[i - 1] ^ (state[i - 1] >>> 30);
    state[i] = Math.imul(1812433253, last) + i;
  }
  let position = SIZE;

  function refill() {
    for (let i = 0; i < SIZE; i++) {
      const joined = (state[i] & 0x80000000) | (state[(i + 1) % SIZE] & 0x7fffffff);
      state[i] = state[(i + MIDDLE) % SIZE] ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    position = 0;
  }

  return () => {
    if (position === SIZE) refill();
    let y = state[position++];
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    y ^= y >>> 18;
    return y >>> 0;
  };
}

/** A random order of 0 .. count - 1, the one that faiss's `rand_perm` gives for this seed. */
export function permutation(count, seed) {
  const next = mersenneTwister(seed);
  const order = Int32Array.from({ length: count }, (_, i) => i);
  for (let i = 0; i + 1 < count; i++) {
    const j = i + (next() % (count - i));
    [order[i], order[j]] = [order[j], order[i]];
  }
  return order;
}
