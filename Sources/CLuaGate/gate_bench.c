// What a binding written by hand in C costs, for the benchmark to compare with.
#include "gate_internal.h"

static int plain_function(lua_State *L) {
  lua_Integer order = luaL_checkinteger(L, 1);
  luaL_argcheck(L, order >= 0 && order <= 10, 1, "expected an integer 0..10");
  lua_pushinteger(L, INT64_C(1) << order);
  return 1;
}

static int plain_method(lua_State *L) {
  lua_Integer *object = luaL_checkudata(L, 1, "gate_plain_c");
  lua_Integer order = luaL_checkinteger(L, 2);
  luaL_argcheck(L, order >= 0 && order <= 10, 2, "expected an integer 0..10");
  lua_pushinteger(L, *object << order);
  return 1;
}

static int plain_object(lua_State *L) {
  lua_Integer *object = lua_newuserdatauv(L, sizeof *object, 0);
  *object = 1;
  luaL_setmetatable(L, "gate_plain_c");
  return 1;
}

static int open_bench(lua_State *L) {
  luaL_newmetatable(L, "gate_plain_c");
  lua_newtable(L);
  gate_set_function(L, "method", plain_method);
  lua_setfield(L, -2, "__index");
  lua_register(L, "plain_c", plain_function);
  lua_register(L, "plain_object", plain_object);
  return 0;
}

bool gate_bench_plain_c(gate_session *s) {
  lua_pushcfunction(s->L, open_bench);
  int status = lua_pcall(s->L, 0, 0, 0);
  if (status != LUA_OK) lua_pop(s->L, 1);
  return status == LUA_OK;
}
