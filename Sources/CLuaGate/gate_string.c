// string.rep and string.format.
//
// rep: the stock one loops n times even when it repeats nothing, so ("").rep("", 1 << 60) never
// ends. format: %s goes through the session's tostring, whose text does not hold addresses, and %p
// would print one.
#include "gate_internal.h"

#include <stdlib.h>

static int rep(lua_State *L) {
  size_t length, gap;
  const char *s = luaL_checklstring(L, 1, &length);
  lua_Integer count = luaL_checkinteger(L, 2);
  const char *separator = luaL_optlstring(L, 3, "", &gap);
  if (count <= 0 || length + gap == 0) {
    lua_pushliteral(L, "");
    return 1;
  }
  if (length + gap > (size_t)INT64_MAX / (size_t)count)
    return luaL_error(L, "resulting string too large");
  size_t total = (size_t)count * length + (size_t)(count - 1) * gap;
  gate_check_room(L, gate_session_of(L), total * 2);  // the buffer and the string
  luaL_Buffer b;
  char *p = luaL_buffinitsize(L, &b, total);
  // Long runs are copied in doubling blocks; each block is one poll.
  memcpy(p, s, length);
  size_t unit = length + gap, done = length;
  if (count > 1) {
    memcpy(p + length, separator, gap);
    done = unit;
    size_t whole = (size_t)(count - 1) * unit;
    while (done < whole) {
      size_t chunk = done < whole - done ? done : whole - done;
      if (chunk > (1u << 20)) chunk = (1u << 20) / unit > 0 ? (1u << 20) / unit * unit : unit;
      memcpy(p + done, p, chunk);
      done += chunk;
      gate_poll(L);
    }
    memcpy(p + done, s, length);
    done += length;
  }
  luaL_pushresultsize(&b, done);
  return 1;
}

// Upvalue 1: the stock format.
static int format(lua_State *L) {
  size_t length;
  const char *f = luaL_checklstring(L, 1, &length), *end = f + length;
  int arguments = lua_gettop(L), argument = 1;
  gate_session *s = gate_session_of(L);
  gate_check_stack(L, s);
  while (f < end) {
    if (*f++ != '%') continue;
    if (f < end && *f == '%') {
      f++;
      continue;
    }
    while (f < end && strchr("-+ #0123456789.", *f) && *f) f++;
    if (f >= end) break;
    argument++;
    if (*f == 'p' && s->sandbox)
      return luaL_error(L, "'%%p' is not available: addresses differ between runs");
    if (*f == 's' && argument <= arguments && lua_type(L, argument) != LUA_TSTRING
        && lua_type(L, argument) != LUA_TNUMBER) {
      gate_tolstring(L, argument, NULL);
      lua_replace(L, argument);
    }
    f++;
  }
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, arguments, 1);
  return 1;
}

void gate_open_string(lua_State *L, gate_session *s) {
  lua_getglobal(L, "string");
  gate_set_function(L, "rep", rep);
  lua_getfield(L, -1, "format");
  lua_pushcclosure(L, format, 1);
  lua_setfield(L, -2, "format");
  if (s->sandbox) {
    lua_pushnil(L);
    lua_setfield(L, -2, "dump");
  }
  lua_pop(L, 1);
  gate_open_pattern(L);
}
