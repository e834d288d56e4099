// Opening, running, registering.
//
// Invariant: every entry from the host runs under lua_pcall on the main thread, and leaves the
// stack to be cleared by gate_finish. `busy` is true from the entry until then.
#include "gate_internal.h"

#include <stdlib.h>

const char gate_key_objects, gate_key_refusal, gate_key_identities, gate_key_printer, gate_key_hex,
    gate_key_next;

static void keep_text(char **slot, size_t *length, const char *text, size_t size) {
  free(*slot);
  *slot = malloc(size + 1);
  if (!*slot) abort();
  if (size) memcpy(*slot, text, size);
  (*slot)[size] = 0;
  *length = size;
}

// ---- Opening ----------------------------------------------------------------------------------

static int refusal_text(lua_State *L) {
  luaL_checktype(L, 1, LUA_TTABLE);
  lua_getfield(L, 1, "errno");
  lua_getfield(L, 1, "message");
  lua_pushfstring(L, "%s  %s", luaL_tolstring(L, 2, NULL), luaL_tolstring(L, 3, NULL));
  return 1;
}

static void push_weak_table(lua_State *L, const char *mode) {
  lua_newtable(L);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, mode);
  lua_setfield(L, -2, "__mode");
  lua_setmetatable(L, -2);
}

static int open_protected(lua_State *L) {
  gate_session *s = gate_session_of(L);
  push_weak_table(L, "v");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &gate_key_objects);
  push_weak_table(L, "k");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &gate_key_identities);
  lua_createtable(L, 0, 3);
  gate_set_function(L, "__tostring", refusal_text);
  lua_pushliteral(L, "refusal");
  lua_setfield(L, -2, "__name");
  lua_pushliteral(L, "refusal");
  lua_setfield(L, -2, "__metatable");
  lua_rawsetp(L, LUA_REGISTRYINDEX, &gate_key_refusal);
  gate_open_libraries(L, s);
  return 0;
}

gate_session *gate_open(gate_limits limits, bool sandbox, uint64_t seed, gate_host host) {
  gate_session *s = calloc(1, sizeof *s);
  if (!s) return NULL;
  s->sandbox = sandbox;
  s->seed = seed;
  s->host = host;
  s->instruction_limit = limits.instructions;
  s->time_limit = limits.nanoseconds;
  lua_State *L = lua_newstate(gate_allocate, s);
  if (!L) {
    free(s);
    return NULL;
  }
  // New threads copy the main thread's extra space.
  *(gate_session **)lua_getextraspace(L) = s;
  s->L = L;
  gate_prepare_stack(s);
  lua_pushcfunction(L, open_protected);
  if (lua_pcall(L, 0, 0, 0) != LUA_OK) {
    lua_close(L);
    free(s);
    return NULL;
  }
  s->memory_limit = limits.memory;
  return s;
}

void gate_close(gate_session *s) {
  if (!s->L) return;
  lua_State *L = s->L;
  gate_switch(s, NULL);
  s->memory_limit = 0;
  gate_arena_reset(s, 0, 0);
  gate_prepare_stack(s);
  lua_close(L);
  s->L = NULL;
}

void gate_free(gate_session *s) {
  free(s->arena.ops);
  free(s->arena.bytes);
  free(s->message);
  free(s->traceback);
  free(s->text);
  free(s);
}

lua_State *gate_main(gate_session *s) { return s->L; }

gate_call gate_make_builder(gate_session *s) {
  return (gate_call){.session = s, .L = s->L, .arena = &s->arena};
}

// ---- Registering ------------------------------------------------------------------------------

static int register_type(lua_State *L) {
  gate_push_type(L, gate_session_of(L), lua_touserdata(L, 1));
  return 0;
}

bool gate_register_type(gate_session *s, const gate_type *type) {
  lua_State *L = s->L;
  if (!lua_checkstack(L, 4)) return false;
  lua_pushcfunction(L, register_type);
  lua_pushlightuserdata(L, (void *)type);
  int status = lua_pcall(L, 1, 0, 0);
  if (status != LUA_OK) lua_pop(L, 1);
  return status == LUA_OK;
}

static int register_function(lua_State *L) {
  const char *path = lua_touserdata(L, 1);
  const gate_function *f = lua_touserdata(L, 2);
  lua_pushglobaltable(L);
  for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
    lua_pushlstring(L, path, (size_t)(dot - path));
    lua_pushvalue(L, -1);
    if (lua_rawget(L, -3) != LUA_TTABLE) {
      lua_pop(L, 1);
      lua_newtable(L);
      lua_pushvalue(L, -2);
      lua_pushvalue(L, -2);
      lua_rawset(L, -5);
    }
  }
  lua_pushstring(L, path);
  gate_push_function(L, f);
  lua_rawset(L, -3);
  return 0;
}

bool gate_register_function(gate_session *s, const char *path, const gate_function *f) {
  lua_State *L = s->L;
  if (!lua_checkstack(L, 4)) return false;
  lua_pushcfunction(L, register_function);
  lua_pushlightuserdata(L, (void *)path);
  lua_pushlightuserdata(L, (void *)f);
  int status = lua_pcall(L, 2, 0, 0);
  if (status != LUA_OK) lua_pop(L, 1);
  return status == LUA_OK;
}

// ---- Running ----------------------------------------------------------------------------------

typedef struct request {
  const char *source, *chunk;
  size_t length;
  const char *const *arguments;
  int32_t argument_count, reference;
  size_t base;
  bool incomplete, expression;
} request;

// Keeps the traceback; the error itself goes on unchanged.
static int keep_traceback(lua_State *L) {
  gate_session *s = gate_session_of(L);
  if (s->syntax_error) return 1;
  luaL_checkstack(L, 10, NULL);
  luaL_traceback(L, L, NULL, 1);
  size_t length;
  const char *text = lua_tolstring(L, -1, &length);
  keep_text(&s->traceback, &s->traceback_length, text, length);
  lua_settop(L, 1);
  return 1;
}

static bool ends_early(lua_State *L) {
  static const char mark[] = "<eof>";
  size_t length;
  const char *message = lua_tolstring(L, -1, &length);
  return message && length >= 5 && memcmp(message + length - 5, mark, 5) == 0;
}

static void load(lua_State *L, request *r) {
  const char *mode = gate_session_of(L)->sandbox ? "t" : NULL;
  int status = LUA_ERRSYNTAX;
  if (r->expression) {
    lua_pushliteral(L, "return ");
    lua_pushlstring(L, r->source, r->length);
    lua_concat(L, 2);
    size_t length;
    const char *text = lua_tolstring(L, -1, &length);
    status = luaL_loadbufferx(L, text, length, r->chunk, mode);
    if (status != LUA_OK) lua_pop(L, 2);
    else lua_remove(L, -2);
  }
  if (status != LUA_OK) status = luaL_loadbufferx(L, r->source, r->length, r->chunk, mode);
  if (status != LUA_OK) {
    gate_session_of(L)->syntax_error = status == LUA_ERRSYNTAX;
    r->incomplete = status == LUA_ERRSYNTAX && ends_early(L);
    lua_error(L);
  }
}

// Results become the globals _, _1 … _n. Raw, so that a guarded global table does not object.
static void keep_results(lua_State *L, int first) {
  int count = lua_gettop(L) - first + 1;
  if (count == 0) return;
  luaL_checkstack(L, 4, NULL);
  lua_pushglobaltable(L);
  lua_pushvalue(L, first);
  lua_pushliteral(L, "_");
  lua_insert(L, -2);
  lua_rawset(L, -3);
  for (int i = 1; i <= count && i <= 99; i++) {
    lua_pushfstring(L, "_%d", i);
    lua_pushvalue(L, first + i - 1);
    lua_rawset(L, -3);
  }
  lua_pop(L, 1);
}

static int run_protected(lua_State *L) {
  request *r = lua_touserdata(L, 1);
  lua_settop(L, 0);
  if (r->reference) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, r->reference);
    gate_session *s = gate_session_of(L);
    luaL_checkstack(L, (int)(s->arena.count - r->base) + 8, "too many arguments");
    gate_replay(L, s, r->base, s->arena.count);
    lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
    return lua_gettop(L);
  }
  load(L, r);
  if (r->arguments) {
    luaL_checkstack(L, r->argument_count + 4, "too many arguments");
    lua_createtable(L, r->argument_count, 1);
    lua_pushstring(L, *r->chunk == '@' || *r->chunk == '=' ? r->chunk + 1 : r->chunk);
    lua_rawseti(L, -2, 0);
    for (int i = 0; i < r->argument_count; i++) {
      lua_pushstring(L, r->arguments[i]);
      lua_rawseti(L, -2, i + 1);
    }
    lua_setglobal(L, "arg");
    for (int i = 0; i < r->argument_count; i++) lua_pushstring(L, r->arguments[i]);
  }
  lua_call(L, lua_gettop(L) - 1, LUA_MULTRET);
  if (r->expression) keep_results(L, 1);
  return lua_gettop(L);
}

// Slot 1: the error value. Returns its text.
static int describe_error(lua_State *L) {
  if (lua_type(L, 1) == LUA_TTABLE && luaL_getmetafield(L, 1, "__tostring") == LUA_TNIL) {
    lua_pushliteral(L, "error value ");
    lua_rawgetp(L, LUA_REGISTRYINDEX, &gate_key_printer);
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
    lua_concat(L, 2);
    return 1;
  }
  lua_settop(L, 1);
  if (lua_type(L, 1) == LUA_TSTRING || lua_type(L, 1) == LUA_TNUMBER) return 1;
  bool plain = !luaL_getmetafield(L, 1, "__tostring");
  gate_tolstring(L, 1, NULL);
  if (plain) {
    lua_pushfstring(L, "error value %s", lua_tostring(L, -1));
  }
  return 1;
}

static int32_t run(gate_session *s, request *r) {
  lua_State *L = s->L;
  if (!L || s->busy) {
    // Arguments of a refused call must not pass for results of the body that made it.
    if (r->reference) gate_arena_reset(s, r->base, s->arena.byte_count);
    return GATE_RUN_BUSY;
  }
  s->busy = true;
  s->result_count = 0;
  keep_text(&s->message, &s->message_length, "", 0);
  keep_text(&s->traceback, &s->traceback_length, "", 0);
  gate_begin_limits(s);
  gate_switch(s, L);
  // Slots of the last run would pass for registers of this one while a hook collects garbage.
  if (lua_checkstack(L, 250)) lua_settop(L, 250);
  lua_settop(L, 0);
  if (s->memory_limit && s->memory_used > s->memory_limit / 2) lua_gc(L, LUA_GCCOLLECT);
  s->syntax_error = false;
  lua_pushcfunction(L, keep_traceback);
  lua_pushcfunction(L, run_protected);
  lua_pushlightuserdata(L, r);
  int status = lua_pcall(L, 1, LUA_MULTRET, 1);
  lua_remove(L, 1);
  gate_arena_reset(s, 0, 0);
  if (status == LUA_OK) {
    s->result_count = lua_gettop(L);
    return GATE_RUN_OK;
  }
  size_t length = 0;
  const char *text = lua_tolstring(L, -1, &length);
  if (lua_type(L, -1) != LUA_TSTRING) {
    lua_pushcfunction(L, describe_error);
    lua_insert(L, -2);
    if (lua_pcall(L, 1, 1, 0) != LUA_OK || !(text = lua_tolstring(L, -1, &length))) {
      text = "error value without a description";
      length = strlen(text);
    }
  }
  keep_text(&s->message, &s->message_length, text, length);
  lua_settop(L, 0);
  if (gate_poll_flag(&s->stop)) return GATE_RUN_STOPPED;
  return r->incomplete ? GATE_RUN_INCOMPLETE : GATE_RUN_FAILED;
}

int32_t gate_run(gate_session *s, const char *source, size_t length, const char *chunk,
                 const char *const *arguments, int32_t argument_count) {
  request r = {.source = source, .length = length, .chunk = chunk, .arguments = arguments,
               .argument_count = argument_count};
  return run(s, &r);
}

int32_t gate_evaluate(gate_session *s, const char *source, size_t length, const char *chunk) {
  request r = {.source = source, .length = length, .chunk = chunk, .expression = true};
  return run(s, &r);
}

int32_t gate_call_reference(gate_session *s, int32_t reference, size_t base) {
  request r = {.reference = reference, .base = base, .chunk = ""};
  return run(s, &r);
}

int32_t gate_result_count(gate_session *s) { return s->result_count; }

void gate_finish(gate_session *s) {
  lua_State *L = s->L;
  lua_settop(L, 0);
  gate_forget_traversals(L);
  s->result_count = 0;
  gate_switch(s, NULL);
  __atomic_store_n(&s->stop, GATE_STOP_NONE, __ATOMIC_SEQ_CST);
  lua_sethook(L, NULL, 0, 0);
  gate_arena_reset(s, 0, 0);
  s->busy = false;
}

const char *gate_message(gate_session *s, size_t *length) {
  *length = s->message_length;
  return s->message ? s->message : "";
}

const char *gate_traceback(gate_session *s, size_t *length) {
  *length = s->traceback_length;
  return s->traceback ? s->traceback : "";
}

// ---- Showing ----------------------------------------------------------------------------------

// Slots: 1 whether to quote, 2 the value.
static int display_protected(lua_State *L) {
  if (lua_toboolean(L, 1)) {
    lua_rawgetp(L, LUA_REGISTRYINDEX, &gate_key_printer);
    lua_pushvalue(L, 2);
    lua_call(L, 1, 1);
  } else {
    gate_tolstring(L, 2, NULL);
  }
  return 1;
}

const char *gate_display(gate_session *s, lua_State *L, int32_t index, bool quoted,
                         size_t *length) {
  *length = 0;
  index = lua_absindex(L, index);
  if (!lua_checkstack(L, 8)) return "";
  lua_pushcfunction(L, display_protected);
  lua_pushboolean(L, quoted);
  lua_pushvalue(L, index);
  lua_pcall(L, 2, 1, 0);
  size_t size = 0;
  const char *text = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &size) : "";
  keep_text(&s->text, &s->text_length, text, size);
  lua_pop(L, 1);
  *length = size;
  return s->text;
}
