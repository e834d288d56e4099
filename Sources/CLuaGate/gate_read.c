// Looking at Lua values from the host. Nothing here raises, allocates in Lua or calls metamethods:
// only raw reads, on stack room that was asked for.
#include "gate_internal.h"

gate_value gate_read(lua_State *L, int32_t index) {
  gate_value v = {.kind = GATE_OTHER, .index = index};
  switch (lua_type(L, index)) {
  case LUA_TNONE:
  case LUA_TNIL: v.kind = GATE_NIL; break;
  case LUA_TBOOLEAN:
    v.kind = GATE_BOOLEAN;
    v.integer = lua_toboolean(L, index);
    break;
  case LUA_TNUMBER:
    if (lua_isinteger(L, index)) {
      v.kind = GATE_INTEGER;
      v.integer = lua_tointeger(L, index);
    } else {
      double number = lua_tonumber(L, index);
      v.kind = GATE_NUMBER;
      memcpy(&v.integer, &number, sizeof number);
    }
    break;
  case LUA_TSTRING: {
    size_t length;
    v.kind = GATE_STRING;
    v.pointer = lua_tolstring(L, index, &length);
    v.integer = (int64_t)length;
    break;
  }
  case LUA_TTABLE: v.kind = GATE_TABLE; break;
  case LUA_TFUNCTION: v.kind = GATE_FUNCTION; break;
  case LUA_TUSERDATA:
    v.pointer = gate_to_object(L, index);
    if (v.pointer) v.kind = GATE_OBJECT;
    break;
  default: break;
  }
  return v;
}

bool gate_next_begin(lua_State *L) {
  if (!lua_checkstack(L, 6)) return false;
  lua_pushnil(L);
  return true;
}

// lua_next raises only for a key that is not in the table, and the key always comes from it.
bool gate_next(lua_State *L, int32_t table) { return lua_next(L, table) != 0; }
void gate_next_pop(lua_State *L) { lua_pop(L, 1); }
int32_t gate_top(lua_State *L) { return lua_gettop(L); }
void gate_set_top(lua_State *L, int32_t top) { lua_settop(L, top); }

// Looks a string key up without making a Lua string, which could raise: it compares the keys.
bool gate_push_field(lua_State *L, int32_t table, const char *name, size_t length) {
  if (!lua_checkstack(L, 6)) return false;
  table = lua_absindex(L, table);
  lua_pushnil(L);
  while (lua_next(L, table)) {
    size_t size;
    if (lua_type(L, -2) == LUA_TSTRING) {
      const char *key = lua_tolstring(L, -2, &size);
      if (size == length && memcmp(key, name, length) == 0) {
        lua_copy(L, -1, -2);
        lua_pop(L, 1);
        return true;
      }
    }
    lua_pop(L, 1);
  }
  lua_pushnil(L);
  return true;
}

bool gate_push_index(lua_State *L, int32_t table, int64_t index) {
  if (!lua_checkstack(L, 4)) return false;
  lua_rawgeti(L, table, index);
  return true;
}

bool gate_push_globals(lua_State *L) {
  if (!lua_checkstack(L, 4)) return false;
  lua_pushglobaltable(L);
  return true;
}

bool gate_push_index_table(lua_State *L, int32_t index) {
  if (!lua_checkstack(L, 6) || !lua_getmetatable(L, index)) return false;
  int metatable = lua_gettop(L);
  gate_push_field(L, metatable, "__index", 7);
  if (lua_type(L, -1) != LUA_TTABLE) {
    lua_settop(L, metatable - 1);
    return false;
  }
  lua_remove(L, metatable);
  return true;
}

const gate_function *gate_function_at(lua_State *L, int32_t index) {
  if (lua_tocfunction(L, index) != gate_trampoline) return NULL;
  if (!lua_getupvalue(L, index, 1)) return NULL;
  const gate_function *f = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return f;
}

// ---- References -------------------------------------------------------------------------------

static int refer(lua_State *L) {
  int reference = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushinteger(L, reference);
  return 1;
}

int32_t gate_reference(lua_State *L, int32_t index) {
  if (!lua_checkstack(L, 6)) return -1;
  index = lua_absindex(L, index);
  lua_pushcfunction(L, refer);
  lua_pushvalue(L, index);
  int32_t reference = lua_pcall(L, 1, 1, 0) == LUA_OK ? (int32_t)lua_tointeger(L, -1) : -1;
  lua_pop(L, 1);
  return reference;
}

// luaL_unref only writes to fields that exist, so it does not allocate.
void gate_release_reference(gate_session *s, int32_t reference) {
  if (s->L && reference > 0) luaL_unref(s->L, LUA_REGISTRYINDEX, reference);
}
