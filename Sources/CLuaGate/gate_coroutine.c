// coroutine.resume, wrap and close.
//
// Invariant: `running` names the thread that executes Lua code, so that an interrupt reaches it.
// lua_resume and lua_resetthread catch every error, so the line after them always runs.
//
// Closing a coroutine may close another from a __close handler, and so on; Lua 5.4.4 does not count
// those levels (upstream 1e64c139), so the C stack itself is measured before each.
#include "gate_internal.h"

#include <stdlib.h>

static lua_State *thread_at(lua_State *L, int index) {
  lua_State *co = lua_tothread(L, index);
  luaL_argexpected(L, co, index, "coroutine");
  return co;
}

// Resumes `co` with the top `count` values. The number of results, now on top, or -1 and a message.
static int resume_thread(lua_State *L, lua_State *co, int count) {
  gate_session *s = gate_session_of(L);
  gate_check_stack(L, s);
  if (!lua_checkstack(co, count)) {
    lua_pushliteral(L, "too many arguments to resume");
    return -1;
  }
  lua_xmove(L, co, count);
  gate_switch(s, co);
  int results;
  int status = lua_resume(co, L, count, &results);
  gate_switch(s, L);
  if (gate_poll_flag(&s->stop)) gate_raise_stop(L, s, 1);
  if (status == LUA_OK || status == LUA_YIELD) {
    if (!lua_checkstack(L, results + 1)) {
      lua_pop(co, results);
      lua_pushliteral(L, "too many results to resume");
      return -1;
    }
    lua_xmove(co, L, results);
    return results;
  }
  lua_xmove(co, L, 1);
  return -1;
}

static int resume(lua_State *L) {
  lua_State *co = thread_at(L, 1);
  int results = resume_thread(L, co, lua_gettop(L) - 1);
  lua_pushboolean(L, results >= 0);
  if (results < 0) results = 1;
  lua_insert(L, -(results + 1));
  return results + 1;
}

static int reset(lua_State *L, lua_State *co) {
  gate_session *s = gate_session_of(L);
  gate_check_stack(L, s);
  gate_switch(s, co);
  int status = lua_resetthread(co);
  gate_switch(s, L);
  return status;
}

static int call_wrapped(lua_State *L) {
  lua_State *co = lua_tothread(L, lua_upvalueindex(1));
  int results = resume_thread(L, co, lua_gettop(L));
  if (results >= 0) return results;
  int status = lua_status(co);
  if (status != LUA_OK && status != LUA_YIELD) {
    // The coroutine died: its pending closing values are closed, and may change the error.
    lua_pushvalue(L, -1);
    lua_xmove(L, co, 1);
    status = reset(L, co);
    if (status != LUA_OK && lua_gettop(co) > 0) lua_xmove(co, L, 1);
    if (gate_poll_flag(&gate_session_of(L)->stop)) gate_raise_stop(L, gate_session_of(L), 1);
  }
  if (status != LUA_ERRMEM && lua_type(L, -1) == LUA_TSTRING) {
    luaL_where(L, 1);
    lua_insert(L, -2);
    lua_concat(L, 2);
  }
  return lua_error(L);
}

static int wrap(lua_State *L) {
  luaL_checktype(L, 1, LUA_TFUNCTION);
  lua_State *co = lua_newthread(L);
  lua_pushvalue(L, 1);
  lua_xmove(L, co, 1);
  lua_pushcclosure(L, call_wrapped, 1);
  return 1;
}

static const char *status_of(lua_State *L, lua_State *co) {
  if (L == co) return "running";
  lua_Debug frame;
  switch (lua_status(co)) {
  case LUA_YIELD: return "suspended";
  case LUA_OK:
    if (lua_getstack(co, 0, &frame)) return "normal";
    return lua_gettop(co) == 0 ? "dead" : "suspended";
  default: return "dead";
  }
}

static int close(lua_State *L) {
  lua_State *co = thread_at(L, 1);
  const char *status = status_of(L, co);
  if (*status != 's' && *status != 'd')
    return luaL_error(L, "cannot close a %s coroutine", status);
  int outcome = reset(L, co);
  if (gate_poll_flag(&gate_session_of(L)->stop)) gate_raise_stop(L, gate_session_of(L), 1);
  lua_pushboolean(L, outcome == LUA_OK);
  if (outcome == LUA_OK) return 1;
  lua_xmove(co, L, 1);
  return 2;
}

// ---- Coroutines of the host --------------------------------------------------------------------

// Slot 1 the request: a registry reference, replaced by that of the coroutine.
static int make(lua_State *L) {
  int32_t *request = lua_touserdata(L, 1);
  lua_State *co = lua_newthread(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, *request);
  lua_xmove(L, co, 1);
  *request = luaL_ref(L, LUA_REGISTRYINDEX);
  return 0;
}

int32_t gate_coroutine(gate_call *call, int32_t reference) {
  lua_State *L = call->L;
  if (!lua_checkstack(L, 8)) return -1;
  int32_t request = reference;
  lua_pushcfunction(L, make);
  lua_pushlightuserdata(L, &request);
  if (lua_pcall(L, 1, 0, 0) == LUA_OK) return request;
  lua_pop(L, 1);
  return -1;
}

typedef struct arguments {
  lua_State *co;
  size_t from, to;
} arguments;

static int push_arguments(lua_State *L) {
  arguments *request = lua_touserdata(L, 1);
  luaL_checkstack(L, (int)(request->to - request->from) + 8, "too many arguments");
  int top = lua_gettop(L);
  gate_replay(L, gate_session_of(L), request->from, request->to);
  int count = lua_gettop(L) - top;
  luaL_checkstack(request->co, count + 1, "too many arguments");
  lua_xmove(L, request->co, count);
  return 0;
}

int32_t gate_resume_coroutine(gate_call *call, int32_t coroutine, size_t base,
                              lua_State **thread, int32_t *first, int32_t *count) {
  lua_State *L = call->L;
  gate_session *s = call->session;
  *first = 1;
  *count = 0;
  *thread = L;
  if (!lua_checkstack(L, 8)) return GATE_RUN_FAILED;
  lua_rawgeti(L, LUA_REGISTRYINDEX, coroutine);
  lua_State *co = lua_tothread(L, -1);
  lua_pop(L, 1);  // the registry keeps it
  if (!co) return GATE_RUN_FAILED;
  *thread = co;
  int waiting = lua_status(co) == LUA_YIELD ? 0 : lua_gettop(co) - 1;
  if (s->arena.count > base) {
    arguments request = {co, base, s->arena.count};
    lua_pushcfunction(L, push_arguments);
    lua_pushlightuserdata(L, &request);
    int status = lua_pcall(L, 1, 0, 0);
    gate_arena_reset(s, base, s->arena.byte_count);
    if (status != LUA_OK) {
      *thread = L;
      *first = lua_gettop(L);
      *count = 1;
      return GATE_RUN_FAILED;
    }
    waiting = lua_gettop(co) - 1;
  }
  gate_switch(s, co);
  int results = 0;
  int status = lua_resume(co, L, waiting > 0 ? waiting : 0, &results);
  gate_switch(s, L);
  if (gate_poll_flag(&s->stop)) return GATE_RUN_STOPPED;
  if (status == LUA_YIELD) {
    lua_pop(co, results);
    return GATE_RUN_YIELDED;
  }
  if (status == LUA_OK) {
    *first = lua_gettop(co) - results + 1;
    *count = results;
    return GATE_RUN_OK;
  }
  *first = lua_gettop(co);
  *count = 1;
  return GATE_RUN_FAILED;
}

bool gate_is_coroutine(gate_call *call, int32_t coroutine) {
  lua_State *L = call->L;
  if (!lua_checkstack(L, 2)) return false;
  lua_rawgeti(L, LUA_REGISTRYINDEX, coroutine);
  bool same = lua_tothread(L, -1) == L;
  lua_pop(L, 1);
  return same;
}

void gate_open_coroutine(lua_State *L) {
  lua_getglobal(L, "coroutine");
  gate_set_function(L, "resume", resume);
  gate_set_function(L, "wrap", wrap);
  gate_set_function(L, "close", close);
  lua_pop(L, 1);
}
