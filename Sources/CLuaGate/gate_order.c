// pairs and next in a fixed order.
//
// Lua seeds its string hash with addresses and the clock, so the stock order of string keys differs
// between runs. Here the order is: 1...n, other numbers ascending, strings by bytes, false, true,
// host objects by creation. Keys that are tables, functions, threads or foreign userdata come last
// in the order of the stock next, which may differ between runs: nothing orders them.
//
// A traversal sees the keys that existed when it began; existing fields may be assigned or cleared.
// pairs sorts once: O(n log n) before the first step, O(1) for each. A table whose keys are exactly
// 1...n is not sorted. next keeps the last few traversals, so that a loop over next costs the same;
// `next(t)` alone looks through the whole table for the first key, O(n).
#include "gate_internal.h"

#include <stdlib.h>

typedef enum { rank_number, rank_string, rank_boolean, rank_object, rank_other } rank;

static rank rank_of(lua_State *L, int index) {
  switch (lua_type(L, index)) {
  case LUA_TNUMBER: return rank_number;
  case LUA_TSTRING: return rank_string;
  case LUA_TBOOLEAN: return rank_boolean;
  case LUA_TUSERDATA: return gate_to_object(L, index) ? rank_object : rank_other;
  default: return rank_other;
  }
}

typedef struct key {
  rank rank;
  int32_t position;     // in the unsorted list, which also keeps the order of equals
  union {
    lua_Integer integer;
    struct { const char *bytes; size_t length; } string;
    uint64_t serial;
  };
  lua_Number number;    // for floats
  bool is_float;
} key;

static key key_at(lua_State *L, int index, int32_t position) {
  key k = {.rank = rank_of(L, index), .position = position};
  switch (k.rank) {
  case rank_number:
    k.is_float = !lua_isinteger(L, index);
    if (k.is_float) k.number = lua_tonumber(L, index);
    else k.integer = lua_tointeger(L, index);
    break;
  case rank_string: k.string.bytes = lua_tolstring(L, index, &k.string.length); break;
  case rank_boolean: k.integer = lua_toboolean(L, index); break;
  case rank_object: k.serial = gate_to_object(L, index)->serial; break;
  case rank_other: break;
  }
  return k;
}

static int compare_numbers(const key *a, const key *b) {
  if (!a->is_float && !b->is_float)
    return a->integer < b->integer ? -1 : a->integer > b->integer;
  // An integer key and a float key are never equal; long double holds both exactly on x86-64, and
  // elsewhere a tie is broken by the integer coming first.
  long double x = a->is_float ? (long double)a->number : (long double)a->integer;
  long double y = b->is_float ? (long double)b->number : (long double)b->integer;
  if (x != y) return x < y ? -1 : 1;
  return (int)a->is_float - (int)b->is_float;
}

static int compare(const void *left, const void *right) {
  const key *a = left, *b = right;
  if (a->rank != b->rank) return a->rank < b->rank ? -1 : 1;
  int order = 0;
  switch (a->rank) {
  case rank_number: {
    // 1, 2, 3 … come before zero, negatives and fractions only as far as they are smaller: plain
    // ascending order within the rank, with positive integers first.
    bool pa = !a->is_float && a->integer > 0, pb = !b->is_float && b->integer > 0;
    if (pa != pb) return pa ? -1 : 1;
    order = compare_numbers(a, b);
    break;
  }
  case rank_string: {
    size_t n = a->string.length < b->string.length ? a->string.length : b->string.length;
    order = memcmp(a->string.bytes, b->string.bytes, n);
    if (order == 0 && a->string.length != b->string.length)
      order = a->string.length < b->string.length ? -1 : 1;
    break;
  }
  case rank_boolean: order = (int)a->integer - (int)b->integer; break;
  case rank_object: order = a->serial < b->serial ? -1 : a->serial > b->serial; break;
  case rank_other: break;
  }
  return order ? order : a->position - b->position;
}

// Pushes a list of the keys of the table at `table` in order.
static void push_sorted_keys(lua_State *L, int table) {
  luaL_checkstack(L, 8, NULL);
  lua_Integer count = 0;
  lua_newtable(L);
  int list = lua_gettop(L);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    lua_pushvalue(L, -1);
    lua_rawseti(L, list, ++count);
    if ((count & 1023) == 0) gate_poll(L);
  }
  if (count < 2) return;
  key *keys = lua_newuserdatauv(L, sizeof(key) * (size_t)count, 0);
  for (lua_Integer i = 0; i < count; i++) {
    lua_rawgeti(L, list, i + 1);
    keys[i] = key_at(L, -1, (int32_t)i);  // the list and the table keep the strings alive
    lua_pop(L, 1);
  }
  qsort(keys, (size_t)count, sizeof(key), compare);
  lua_createtable(L, (int)count, 0);
  for (lua_Integer i = 0; i < count; i++) {
    lua_rawgeti(L, list, keys[i].position + 1);
    lua_rawseti(L, -2, i + 1);
  }
  lua_replace(L, list);
  lua_settop(L, list);
}

// Whether stock next already meets the keys in our order: 1...n and nothing else.
static bool is_sequence(lua_State *L, int table) {
  lua_Integer expected = 1;
  lua_pushnil(L);
  while (lua_next(L, table)) {
    lua_pop(L, 1);
    if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) != expected++) {
      lua_pop(L, 1);
      return false;
    }
    if ((expected & 1023) == 0) gate_poll(L);
  }
  return true;
}

// Upvalues: keys, position. The state is the table.
static int step_sorted(lua_State *L) {
  lua_settop(L, 1);
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_Integer at = lua_tointeger(L, lua_upvalueindex(2));
  for (;;) {
    if (lua_rawgeti(L, lua_upvalueindex(1), ++at) == LUA_TNIL) return 1;
    lua_pushvalue(L, -1);
    if (lua_rawget(L, 1) != LUA_TNIL) break;
    lua_pop(L, 2);  // cleared since the traversal began
    if ((at & 1023) == 0) gate_poll(L);
  }
  lua_pushinteger(L, at);
  lua_replace(L, lua_upvalueindex(2));
  return 2;
}

static int step_sequence(lua_State *L) {
  lua_settop(L, 2);
  return lua_next(L, 1) ? 2 : (lua_pushnil(L), 1);
}

static int pairs_continue(lua_State *L, int status, lua_KContext context) {
  (void)L, (void)status, (void)context;
  return 3;
}

static int pairs(lua_State *L) {
  luaL_checkany(L, 1);
  if (luaL_getmetafield(L, 1, "__pairs") != LUA_TNIL) {
    lua_pushvalue(L, 1);
    lua_callk(L, 1, 3, 0, pairs_continue);
    return 3;  // never four: Lua 5.4.4 miscompiles a break out of a loop with a closing value
  }
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 1);
  if (is_sequence(L, 1)) {
    lua_settop(L, 1);
    lua_pushcfunction(L, step_sequence);
  } else {
    push_sorted_keys(L, 1);
    lua_pushinteger(L, 0);
    lua_pushcclosure(L, step_sorted, 2);
  }
  lua_pushvalue(L, 1);
  lua_pushnil(L);
  return 3;
}

// ---- next -------------------------------------------------------------------------------------

enum { traversals = 4 };

// The cache is a list of 3 * traversals entries: table, keys, position.
static int first_key(lua_State *L) {
  lua_settop(L, 1);
  if (lua_rawgeti(L, 1, 1) != LUA_TNIL) {
    lua_pushinteger(L, 1);
    lua_insert(L, 2);
    return 2;
  }
  lua_settop(L, 1);
  lua_pushnil(L);  // slot 2: the best key
  key best = {0};
  int32_t count = 0;
  lua_pushnil(L);
  while (lua_next(L, 1)) {
    lua_pop(L, 1);
    key k = key_at(L, -1, count++);
    if (count == 1 || compare(&k, &best) < 0) {
      best = k;
      lua_pushvalue(L, -1);
      lua_replace(L, 2);
    }
    if ((count & 1023) == 0) gate_poll(L);
  }
  if (count == 0) return 1;
  lua_pushvalue(L, 2);
  lua_rawget(L, 1);
  return 2;
}

// Slot 1 table, 2 key, 3 cache, 4 keys; `at` is the position of the key. Answers what follows.
static int answer_from(lua_State *L, int entry, lua_Integer at) {
  for (;;) {
    if (lua_rawgeti(L, 4, ++at) == LUA_TNIL) {
      // Done: the cache must not keep the table alive.
      lua_pushboolean(L, false);
      lua_rawseti(L, 3, entry);
      lua_pushboolean(L, false);
      lua_rawseti(L, 3, entry + 1);
      return 1;
    }
    lua_pushvalue(L, -1);
    if (lua_rawget(L, 1) != LUA_TNIL) break;
    lua_pop(L, 2);
    if ((at & 1023) == 0) gate_poll(L);
  }
  lua_pushinteger(L, at);
  lua_rawseti(L, 3, entry + 2);
  return 2;
}

static int next_ordered(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) return first_key(L);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &gate_key_next);
  for (int entry = 1; entry <= 3 * traversals; entry += 3) {
    lua_rawgeti(L, 3, entry);
    bool same = lua_rawequal(L, -1, 1);
    lua_pop(L, 1);
    if (!same) continue;
    lua_rawgeti(L, 3, entry + 1);
    lua_rawgeti(L, 3, entry + 2);
    lua_Integer at = lua_tointeger(L, -1);
    lua_pop(L, 1);
    lua_rawgeti(L, 4, at);
    bool here = lua_rawequal(L, -1, 2);
    lua_pop(L, 1);
    if (here) return answer_from(L, entry, at);
    lua_pop(L, 1);
  }
  push_sorted_keys(L, 1);
  lua_Integer at = 0, count = (lua_Integer)lua_rawlen(L, 4);
  for (lua_Integer i = 1; i <= count && at == 0; i++) {
    lua_rawgeti(L, 4, i);
    if (lua_rawequal(L, -1, 2)) at = i;
    lua_pop(L, 1);
  }
  if (at == 0) return luaL_error(L, "invalid key to 'next'");
  // Round robin: the oldest traversal makes room.
  lua_rawgeti(L, 3, 3 * traversals + 1);
  int slot = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  lua_pushinteger(L, (slot + 1) % traversals);
  lua_rawseti(L, 3, 3 * traversals + 1);
  int entry = slot * 3 + 1;
  lua_pushvalue(L, 1);
  lua_rawseti(L, 3, entry);
  lua_pushvalue(L, 4);
  lua_rawseti(L, 3, entry + 1);
  return answer_from(L, entry, at);
}

// Lets go of the tables of unfinished traversals. Writes only to slots that exist, so nothing raises.
void gate_forget_traversals(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &gate_key_next) == LUA_TTABLE) {
    for (int i = 1; i <= 3 * traversals; i++) {
      lua_pushboolean(L, false);
      lua_rawseti(L, -2, i);
    }
  }
  lua_pop(L, 1);
}

void gate_open_order(lua_State *L) {
  lua_createtable(L, 3 * traversals + 1, 0);
  for (int i = 1; i <= 3 * traversals; i++) {
    lua_pushboolean(L, false);
    lua_rawseti(L, -2, i);
  }
  lua_pushinteger(L, 0);
  lua_rawseti(L, -2, 3 * traversals + 1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &gate_key_next);
  lua_pushglobaltable(L);
  gate_set_function(L, "pairs", pairs);
  gate_set_function(L, "next", next_ordered);
  lua_pop(L, 1);
}
