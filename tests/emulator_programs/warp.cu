// Warp primitives under divergence: votes, matches, reductions, shuffles of each kind, bit tricks.
extern "C" __global__ void warp_primitives(const int* in, unsigned* out, int n) {
  int lane = threadIdx.x, v = in[lane];
  unsigned* mine = out + lane * 10;
  mine[0] = __ballot_sync(~0u, v > 0);
  mine[1] = __match_any_sync(~0u, v & 3);
  mine[2] = __reduce_add_sync(~0u, v);
  mine[3] = __reduce_min_sync(~0u, v);
  mine[4] = __shfl_up_sync(~0u, v, 3, 16);
  mine[5] = __shfl_sync(~0u, v, lane * 7);
  if (lane < n) {
    mine[6] = __activemask();
    mine[7] = __reduce_or_sync((1u << n) - 1, 1u << (v & 31));
  } else {
    mine[6] = __activemask();
    mine[7] = __any_sync(~((1u << n) - 1), v == 5) + 2 * __all_sync(~((1u << n) - 1), v >= -50);
  }
  __syncwarp();
  mine[8] = __popc(v) | __clz(v) << 8 | __ffs(v) << 16;
  mine[9] = __byte_perm(v, __brev(v), 0x5140) ^ __funnelshift_l(v, lane, 5);
}
