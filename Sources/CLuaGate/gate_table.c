// table.insert, remove, move, concat and sort.
//
// The stock ones loop in C without looking at interrupts, and a __len metamethod can make them loop
// 2^63 times. These poll. sort is a merge sort: stable, the same on every run (the stock one picks
// pivots of large arrays by the clock), and an inconsistent comparison cannot make it leave the
// array.
#include "gate_internal.h"

#include <stdlib.h>

// A table, or anything that has the metamethods.
static void check_table(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TTABLE) return;
  if (luaL_getmetafield(L, index, "__index") == LUA_TNIL) luaL_checktype(L, index, LUA_TTABLE);
  lua_pop(L, 1);
}

static inline void poll_at(lua_State *L, lua_Integer i) {
  if ((i & 1023) == 0) gate_poll(L);
}

static int insert(lua_State *L) {
  check_table(L, 1);
  lua_Integer end = (lua_Integer)((lua_Unsigned)luaL_len(L, 1) + 1), at = end;
  switch (lua_gettop(L)) {
  case 2: break;
  case 3:
    at = luaL_checkinteger(L, 2);
    luaL_argcheck(L, (lua_Unsigned)at - 1u < (lua_Unsigned)end, 2, "position out of bounds");
    for (lua_Integer i = end; i > at; i--) {
      lua_geti(L, 1, i - 1);
      lua_seti(L, 1, i);
      poll_at(L, i);
    }
    break;
  default: return luaL_error(L, "wrong number of arguments to 'insert'");
  }
  lua_seti(L, 1, at);
  return 0;
}

static int remove_element(lua_State *L) {
  check_table(L, 1);
  lua_Integer size = luaL_len(L, 1), at = luaL_optinteger(L, 2, size);
  if (lua_gettop(L) >= 2 && at != size)
    luaL_argcheck(L, (lua_Unsigned)at - 1u <= (lua_Unsigned)size, 2, "position out of bounds");
  lua_settop(L, 1);
  lua_geti(L, 1, at);
  for (; at < size; at++) {
    lua_geti(L, 1, at + 1);
    lua_seti(L, 1, at);
    poll_at(L, at);
  }
  lua_pushnil(L);
  lua_seti(L, 1, at);
  return 1;
}

static int move(lua_State *L) {
  lua_Integer from = luaL_checkinteger(L, 2), end = luaL_checkinteger(L, 3);
  lua_Integer to = luaL_checkinteger(L, 4);
  int target = lua_isnoneornil(L, 5) ? 1 : 5;
  check_table(L, 1);
  check_table(L, target);
  if (end >= from) {
    luaL_argcheck(L, from > 0 || end < LUA_MAXINTEGER + from, 3, "too many elements to move");
    lua_Integer count = end - from + 1;
    luaL_argcheck(L, to <= LUA_MAXINTEGER - count + 1, 4, "destination wrap around");
    // Forwards unless that would overwrite what is still to be moved.
    bool forwards = to > end || to <= from || (target != 1 && !lua_compare(L, 1, 5, LUA_OPEQ));
    for (lua_Integer k = 0; k < count; k++) {
      lua_Integer i = forwards ? k : count - 1 - k;
      lua_geti(L, 1, from + i);
      lua_seti(L, target, to + i);
      poll_at(L, k);
    }
  }
  lua_pushvalue(L, target);
  return 1;
}

static void add_element(lua_State *L, luaL_Buffer *b, lua_Integer i) {
  lua_geti(L, 1, i);
  if (!lua_isstring(L, -1))
    luaL_error(L, "invalid value (%s) at index %I in table for 'concat'", luaL_typename(L, -1), i);
  luaL_addvalue(b);
}

static int concat(lua_State *L) {
  check_table(L, 1);
  lua_Integer last = luaL_len(L, 1);
  size_t gap;
  const char *separator = luaL_optlstring(L, 2, "", &gap);
  lua_Integer i = luaL_optinteger(L, 3, 1);
  last = luaL_optinteger(L, 4, last);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (; i < last; i++) {
    add_element(L, &b, i);
    luaL_addlstring(&b, separator, gap);
    poll_at(L, i);
  }
  if (i == last) add_element(L, &b, i);
  luaL_pushresult(&b);
  return 1;
}

// ---- sort -------------------------------------------------------------------------------------

// Slots: 1 the table, 2 the comparison or nil, 3 and 4 lists that take turns as source and target.

// Whether element b of `list` must stand before element a.
static bool precedes(lua_State *L, int list, lua_Integer b, lua_Integer a) {
  bool result;
  if (lua_isnil(L, 2)) {
    lua_rawgeti(L, list, b);
    lua_rawgeti(L, list, a);
    result = lua_compare(L, -2, -1, LUA_OPLT);
    lua_pop(L, 2);
  } else {
    lua_pushvalue(L, 2);
    lua_rawgeti(L, list, b);
    lua_rawgeti(L, list, a);
    lua_call(L, 2, 1);
    result = lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  return result;
}

static void merge(lua_State *L, int source, int target, lua_Integer low, lua_Integer middle,
                  lua_Integer high) {
  lua_Integer a = low, b = middle;
  for (lua_Integer to = low; to < high; to++) {
    bool second = a >= middle || (b < high && precedes(L, source, b, a));
    lua_rawgeti(L, source, second ? b++ : a++);
    lua_rawseti(L, target, to);
    if ((to & 255) == 0) gate_poll(L);
  }
}

static int sort(lua_State *L) {
  check_table(L, 1);
  lua_Integer count = luaL_len(L, 1);
  if (!lua_isnoneornil(L, 2)) luaL_checktype(L, 2, LUA_TFUNCTION);
  lua_settop(L, 2);
  if (count < 2) return 0;
  luaL_argcheck(L, count < INT32_MAX, 1, "array too big");
  gate_check_stack(L, gate_session_of(L));
  lua_newtable(L);
  lua_newtable(L);
  for (lua_Integer i = 1; i <= count; i++) {
    lua_geti(L, 1, i);
    lua_rawseti(L, 3, i);
    poll_at(L, i);
  }
  int source = 3, target = 4;
  for (lua_Integer width = 1; width < count; width *= 2) {
    for (lua_Integer low = 1; low <= count; low += 2 * width) {
      lua_Integer middle = low + width < count + 1 ? low + width : count + 1;
      lua_Integer high = middle + width < count + 1 ? middle + width : count + 1;
      merge(L, source, target, low, middle, high);
    }
    int other = source;
    source = target;
    target = other;
  }
  for (lua_Integer i = 1; i <= count; i++) {
    lua_rawgeti(L, source, i);
    lua_seti(L, 1, i);
    poll_at(L, i);
  }
  return 0;
}

void gate_open_table(lua_State *L) {
  lua_getglobal(L, "table");
  gate_set_function(L, "insert", insert);
  gate_set_function(L, "remove", remove_element);
  gate_set_function(L, "move", move);
  gate_set_function(L, "concat", concat);
  gate_set_function(L, "sort", sort);
  lua_pop(L, 1);
}
