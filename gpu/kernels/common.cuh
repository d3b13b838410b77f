// What the kernels share. `gpu/device.py` compiles each of them for the sizes of a call, with the macros
//
//   T         float or double
//   D, C      entries of a row, and the columns that are taken at once
//   G         factors of a monomial, padded with ones (the degree, and at least 1); where pairs are written out, the
//             degree of the polynomial
//   THREADS   of a block
//
// and those that the kernel itself names. A *unit* is one segment of one head: rows that share their sums. A monomial
// is a product of G entries of (x_1 … x_D, 1), which a table of G indices names: index D is the 1.

#define PADDED(columns) ((columns) + (16 / sizeof(T) - (columns) % (16 / sizeof(T))) % (16 / sizeof(T)))  // whole vectors

typedef long long Size;

struct Rows {
    Size first, count;  // of a unit, counted from the first row of all heads
};

// The rows of a unit: `segments` of L rows, the last perhaps shorter, in each head of b rows.
__device__ inline Rows rows_of(Size unit, Size segments, Size b, Size L)
{
    const Size head = unit / segments, first = (unit % segments) * L;
    const Size left = b - first;
    return {head * b + first, left < L ? left : L};
}
