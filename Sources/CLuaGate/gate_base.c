// The basic functions that differ from the stock ones, and what a sandbox leaves out.
//
// A sandboxed script reaches no file, process, bytecode or C module, and no function that breaks
// the interpreter's invariants. Text that shows an identity uses a number given on first sight
// ("table: #1") in place of an address, so that two runs print the same.
#include "gate_internal.h"

#include <stdlib.h>

void gate_set_function(lua_State *L, const char *name, lua_CFunction function) {
  lua_pushcfunction(L, function);
  lua_setfield(L, -2, name);
}

// ---- Text -------------------------------------------------------------------------------------

static lua_Integer identity_of(lua_State *L, int index) {
  index = lua_absindex(L, index);
  lua_rawgetp(L, LUA_REGISTRYINDEX, &gate_key_identities);
  lua_pushvalue(L, index);
  lua_rawget(L, -2);
  lua_Integer number = lua_tointeger(L, -1);
  lua_pop(L, 1);
  if (number == 0) {
    number = ++gate_session_of(L)->identity;
    lua_pushvalue(L, index);
    lua_pushinteger(L, number);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
  return number;
}

// Like luaL_tolstring, without addresses. Needs 6 slots; leaves one.
const char *gate_tolstring(lua_State *L, int index, size_t *length) {
  index = lua_absindex(L, index);
  luaL_checkstack(L, 8, NULL);
  if (luaL_callmeta(L, index, "__tostring")) {
    if (!lua_isstring(L, -1)) luaL_error(L, "'__tostring' must return a string");
    return lua_tolstring(L, -1, length);
  }
  switch (lua_type(L, index)) {
  case LUA_TNIL:
  case LUA_TBOOLEAN:
  case LUA_TNUMBER:
  case LUA_TSTRING: return luaL_tolstring(L, index, length);
  default: break;
  }
  const gate_function *function = gate_function_at(L, index);
  if (function) {
    lua_pushfstring(L, "function: %s", function->name);
    return lua_tolstring(L, -1, length);
  }
  lua_Integer identity = identity_of(L, index);
  int kind = luaL_getmetafield(L, index, "__name");
  const char *name = kind == LUA_TSTRING ? lua_tostring(L, -1) : luaL_typename(L, index);
  lua_pushfstring(L, "%s: #%I", name, identity);
  if (kind != LUA_TNIL) lua_remove(L, -2);
  return lua_tolstring(L, -1, length);
}

static int to_string(lua_State *L) {
  luaL_checkany(L, 1);
  gate_tolstring(L, 1, NULL);
  return 1;
}

// One write for a whole call, so that lines of two sessions do not mix.
static int write_all(lua_State *L, const char *separator, const char *end, bool strict) {
  gate_session *s = gate_session_of(L);
  gate_check_stack(L, s);
  int count = lua_gettop(L);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (int i = 1; i <= count; i++) {
    if (i > 1) luaL_addstring(&b, separator);
    if (strict && !lua_isstring(L, i)) luaL_checkstring(L, i);
    gate_tolstring(L, i, NULL);
    luaL_addvalue(&b);
  }
  luaL_addstring(&b, end);
  luaL_pushresult(&b);
  size_t length;
  const char *text = lua_tolstring(L, -1, &length);
  s->host.write(s->host.context, text, length);
  return 0;
}

static int print(lua_State *L) { return write_all(L, "\t", "\n", false); }

static int io_write(lua_State *L) { return write_all(L, "", "", true); }

static void warn_function(void *context, const char *message, int continues) {
  gate_session *s = context;
  static _Thread_local bool inside;
  if (!inside && *message == '@' && !continues) return;
  if (!inside) s->host.write(s->host.context, "warning: ", 9);
  s->host.write(s->host.context, message, strlen(message));
  if (!continues) s->host.write(s->host.context, "\n", 1);
  inside = continues;
}

// ---- Control ----------------------------------------------------------------------------------

// A stock message handler would run inside the hook that raised the stop, where hooks are off: an
// endless handler could not be stopped. Upvalue: the script's handler.
static int guarded_handler(lua_State *L) {
  if (gate_poll_flag(&gate_session_of(L)->stop)) return 1;
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, 1);
  return 1;
}

static int finish_xpcall(lua_State *L, int status, lua_KContext context) {
  (void)context;
  if (status == LUA_OK || status == LUA_YIELD) return lua_gettop(L) - 1;
  lua_pushboolean(L, false);
  lua_pushvalue(L, -2);
  return 2;
}

static int xpcall(lua_State *L) {
  luaL_checktype(L, 2, LUA_TFUNCTION);
  gate_check_stack(L, gate_session_of(L));
  int count = lua_gettop(L);
  // Slots become: handler, true, function, arguments.
  lua_pushvalue(L, 2);
  lua_pushcclosure(L, guarded_handler, 1);
  lua_pushvalue(L, 1);
  lua_replace(L, 2);       // function in slot 2
  lua_replace(L, 1);       // handler in slot 1
  lua_pushboolean(L, true);
  lua_insert(L, 2);
  int status = lua_pcallk(L, count - 2, LUA_MULTRET, 1, 0, finish_xpcall);
  return finish_xpcall(L, status, 0);
}

static int set_metatable(lua_State *L) {
  int kind = lua_type(L, 2);
  luaL_checktype(L, 1, LUA_TTABLE);
  luaL_argexpected(L, kind == LUA_TNIL || kind == LUA_TTABLE, 2, "nil or table");
  if (luaL_getmetafield(L, 1, "__metatable") != LUA_TNIL)
    return luaL_error(L, "cannot change a protected metatable");
  if (kind == LUA_TTABLE && gate_session_of(L)->sandbox) {
    lua_pushliteral(L, "__gc");
    if (lua_rawget(L, 2) != LUA_TNIL)
      return luaL_error(L, "'__gc' is not available: finalizers run at unforeseeable times; "
                           "use a <close> variable");
  }
  lua_settop(L, 2);
  lua_setmetatable(L, 1);
  return 1;
}

// Upvalue: the stock load. Binary chunks can crash the interpreter, so only text passes.
static int load_text(lua_State *L) {
  int count = lua_gettop(L);
  const char *mode = luaL_optstring(L, 3, "t");
  if (!strchr(mode, 't')) return luaL_error(L, "binary chunks are not available");
  if (count < 3) lua_settop(L, 3);
  lua_pushliteral(L, "t");
  lua_replace(L, 3);
  lua_pushvalue(L, lua_upvalueindex(1));
  lua_insert(L, 1);
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  return lua_gettop(L);
}

static int collect_garbage(lua_State *L) {
  static const char *const options[] = {"collect", "step", "count", NULL};
  switch (luaL_checkoption(L, 1, "collect", options)) {
  case 0: lua_pushinteger(L, lua_gc(L, LUA_GCCOLLECT)); return 1;
  case 1: lua_pushboolean(L, lua_gc(L, LUA_GCSTEP, 0)); return 1;
  default:
    lua_pushnumber(L, lua_gc(L, LUA_GCCOUNT) + lua_gc(L, LUA_GCCOUNTB) / 1024.0);
    return 1;
  }
}

// Where a function or level is, without handing out the function itself.
static int get_info(lua_State *L) {
  lua_Debug info;
  memset(&info, 0, sizeof info);
  if (lua_isfunction(L, 1)) {
    lua_pushvalue(L, 1);
    lua_getinfo(L, ">Slu", &info);
  } else {
    lua_Integer level = luaL_checkinteger(L, 1);
    if (level < 0 || level > INT32_MAX || !lua_getstack(L, (int)level, &info)) {
      luaL_pushfail(L);
      return 1;
    }
    lua_getinfo(L, "nSlu", &info);
  }
  lua_createtable(L, 0, 8);
  lua_pushstring(L, info.short_src);
  lua_setfield(L, -2, "short_src");
  lua_pushstring(L, info.source);
  lua_setfield(L, -2, "source");
  lua_pushstring(L, info.what);
  lua_setfield(L, -2, "what");
  lua_pushstring(L, info.name);
  lua_setfield(L, -2, "name");
  lua_pushinteger(L, info.currentline);
  lua_setfield(L, -2, "currentline");
  lua_pushinteger(L, info.linedefined);
  lua_setfield(L, -2, "linedefined");
  lua_pushinteger(L, info.nparams);
  lua_setfield(L, -2, "nparams");
  lua_pushboolean(L, info.isvararg);
  lua_setfield(L, -2, "isvararg");
  return 1;
}

// ---- Opening ----------------------------------------------------------------------------------

// Replaces the table on top by one with only the named fields.
static void keep_fields(lua_State *L, const char *const *names) {
  lua_newtable(L);
  for (; *names; names++) {
    lua_getfield(L, -2, *names);
    lua_setfield(L, -2, *names);
  }
  lua_remove(L, -2);
}

static void restrict_globals(lua_State *L) {
  static const char *const absent[] = {"dofile", "loadfile", "require", "package", NULL};
  for (const char *const *name = absent; *name; name++) {
    lua_pushnil(L);
    lua_setglobal(L, *name);
  }
  static const char *const safe_os[] = {"clock", "time", "date", "difftime", NULL};
  lua_getglobal(L, "os");
  keep_fields(L, safe_os);
  lua_setglobal(L, "os");
  static const char *const safe_debug[] = {"traceback", NULL};
  lua_getglobal(L, "debug");
  keep_fields(L, safe_debug);
  gate_set_function(L, "getinfo", get_info);
  lua_setglobal(L, "debug");
  lua_pushglobaltable(L);
  gate_set_function(L, "collectgarbage", collect_garbage);
  lua_getfield(L, -1, "load");
  lua_pushcclosure(L, load_text, 1);
  lua_setfield(L, -2, "load");
  lua_pop(L, 1);
}

void gate_open_base(lua_State *L, gate_session *s) {
  if (s->sandbox) restrict_globals(L);
  lua_pushglobaltable(L);
  gate_set_function(L, "print", print);
  gate_set_function(L, "tostring", to_string);
  gate_set_function(L, "xpcall", xpcall);
  gate_set_function(L, "setmetatable", set_metatable);
  if (s->sandbox) lua_newtable(L);
  else lua_getfield(L, -1, "io");
  gate_set_function(L, "write", io_write);
  lua_setfield(L, -2, "io");
  lua_pop(L, 1);
  lua_setwarnf(L, warn_function, s);
}

// The registry's list of loaded libraries names functions in messages and tracebacks. It held the
// full os and debug; it gets what is left of them.
static void forget_full_libraries(lua_State *L) {
  static const char *const kept[] = {LUA_GNAME, LUA_COLIBNAME, LUA_TABLIBNAME, LUA_STRLIBNAME,
                                     LUA_MATHLIBNAME, LUA_UTF8LIBNAME, LUA_OSLIBNAME, NULL};
  lua_newtable(L);
  for (const char *const *name = kept; *name; name++) {
    lua_getglobal(L, *name);
    lua_setfield(L, -2, *name);
  }
  lua_setfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
}

void gate_open_libraries(lua_State *L, gate_session *s) {
  static const luaL_Reg safe[] = {
    {LUA_GNAME, luaopen_base},        {LUA_COLIBNAME, luaopen_coroutine},
    {LUA_TABLIBNAME, luaopen_table},  {LUA_STRLIBNAME, luaopen_string},
    {LUA_MATHLIBNAME, luaopen_math},  {LUA_UTF8LIBNAME, luaopen_utf8},
    {LUA_OSLIBNAME, luaopen_os},      {LUA_DBLIBNAME, luaopen_debug},
    {NULL, NULL},
  };
  if (!s->sandbox) luaL_openlibs(L);
  for (const luaL_Reg *library = safe; s->sandbox && library->name; library++) {
    luaL_requiref(L, library->name, library->func, 1);
    lua_pop(L, 1);
  }
  gate_open_base(L, s);
  gate_open_order(L);
  gate_open_string(L, s);
  gate_open_table(L);
  gate_open_coroutine(L);
  gate_open_random(L, s);
  gate_open_printer(L);
  if (s->sandbox) forget_full_libraries(L);
}
