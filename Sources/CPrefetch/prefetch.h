#pragma once

/* The one instruction that the hot loops need and Swift cannot name. It changes no memory and never
   faults, whatever the address. */
static inline __attribute__((always_inline)) void prefetchForWriting(
    const void *_Nonnull address) {
  __builtin_prefetch(address, 1, 3);
}
