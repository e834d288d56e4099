// math.random and math.randomseed from the session's own generator, xoshiro256**.
//
// Invariant: the stream is a function of the seed alone. randomseed() without arguments goes back
// to the session's seed; Lua 5.4 would take the clock and an address.
#include "gate_internal.h"

static uint64_t rotate(uint64_t x, int n) { return x << n | x >> (64 - n); }

static uint64_t draw(gate_session *s) {
  uint64_t *r = s->random;
  uint64_t result = rotate(r[1] * 5, 7) * 9, t = r[1] << 17;
  r[2] ^= r[0];
  r[3] ^= r[1];
  r[1] ^= r[2];
  r[0] ^= r[3];
  r[2] ^= t;
  r[3] = rotate(r[3], 45);
  return result;
}

// SplitMix64 spreads a small seed over the whole state.
static void seed_with(gate_session *s, uint64_t x) {
  for (int i = 0; i < 4; i++) {
    x += UINT64_C(0x9e3779b97f4a7c15);
    uint64_t z = x;
    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    s->random[i] = z ^ z >> 31;
  }
}

static int random_value(lua_State *L) {
  gate_session *s = gate_session_of(L);
  lua_Integer low = 1, high;
  switch (lua_gettop(L)) {
  case 0: lua_pushnumber(L, (double)(draw(s) >> 11) * 0x1p-53); return 1;
  case 1:
    high = luaL_checkinteger(L, 1);
    if (high == 0) {
      lua_pushinteger(L, (lua_Integer)draw(s));
      return 1;
    }
    break;
  case 2:
    low = luaL_checkinteger(L, 1);
    high = luaL_checkinteger(L, 2);
    break;
  default: return luaL_error(L, "wrong number of arguments");
  }
  luaL_argcheck(L, low <= high, lua_gettop(L), "interval is empty");
  uint64_t span = (uint64_t)high - (uint64_t)low, value;
  // Rejection keeps every value equally likely; at most half of the draws are rejected.
  uint64_t mask = span;
  for (int shift = 1; shift < 64; shift *= 2) mask |= mask >> shift;
  do value = draw(s) & mask;
  while (value > span);
  lua_pushinteger(L, (lua_Integer)((uint64_t)low + value));
  return 1;
}

static int random_seed(lua_State *L) {
  gate_session *s = gate_session_of(L);
  if (lua_isnone(L, 1)) {
    seed_with(s, s->seed);
    return 0;
  }
  uint64_t bits;
  if (lua_isinteger(L, 1)) {
    bits = (uint64_t)lua_tointeger(L, 1);
  } else {
    double number = luaL_checknumber(L, 1);
    memcpy(&bits, &number, sizeof bits);
  }
  seed_with(s, bits ^ rotate((uint64_t)luaL_optinteger(L, 2, 0), 32));
  return 0;
}

void gate_open_random(lua_State *L, gate_session *s) {
  seed_with(s, s->seed);
  lua_getglobal(L, "math");
  gate_set_function(L, "random", random_value);
  gate_set_function(L, "randomseed", random_seed);
  lua_pop(L, 1);
}
