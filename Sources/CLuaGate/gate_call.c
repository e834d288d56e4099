// The trampoline from Lua into the host, the arena of results, and calls back into Lua.
//
// Invariant: between `body` being entered and its return, nothing raises. Arguments were checked
// before; results are pushed after. A body that calls back into Lua does it under lua_pcall.
//
// The arena is a stack: a call restores the level it found. A Lua error that jumps over the replay
// leaves the level too high; the next outer return, or the end of the run, restores it and gives
// back the objects that were not claimed.
#include "gate_internal.h"

#include <stdlib.h>

// ---- Arena ------------------------------------------------------------------------------------

void gate_arena_grow(gate_arena *arena) {
  size_t capacity = arena->capacity ? arena->capacity * 2 : 64;
  gate_op *ops = realloc(arena->ops, capacity * sizeof *ops);
  if (!ops) abort();
  arena->ops = ops;
  arena->capacity = capacity;
}

size_t gate_arena_bytes(gate_arena *arena, const void *bytes, size_t length) {
  if (arena->byte_capacity - arena->byte_count < length) {
    size_t capacity = arena->byte_capacity ? arena->byte_capacity * 2 : 1024;
    while (capacity - arena->byte_count < length) capacity *= 2;
    char *grown = realloc(arena->bytes, capacity);
    if (!grown) abort();
    arena->bytes = grown;
    arena->byte_capacity = capacity;
  }
  size_t offset = arena->byte_count;
  if (length > 0) memcpy(arena->bytes + offset, bytes, length);
  arena->byte_count += length;
  return offset;
}

void gate_arena_reset(gate_session *s, size_t ops, size_t bytes) {
  gate_arena *arena = &s->arena;
  for (size_t i = arena->count; arena->object_count > 0 && i > ops; i--) {
    gate_op *op = &arena->ops[i - 1];
    if (op->kind == GATE_OP_OBJECT_BODY && op->pointer) {
      s->host.release((void *)op->pointer);
      op->pointer = NULL;
      arena->object_count--;
    }
  }
  arena->count = ops;
  arena->byte_count = bytes;
}

void gate_return_string(gate_call *call, const void *bytes, size_t length) {
  size_t offset = gate_arena_bytes(call->arena, bytes, length);
  gate_op *op = gate_append(call, GATE_OP_STRING);
  op->integer = (int64_t)offset;
  op->extra = (uint32_t)length;
}

void gate_begin_table(gate_call *call, int32_t array, int32_t record) {
  gate_op *op = gate_append(call, GATE_OP_TABLE);
  op->extra = (uint32_t)array;
  op->integer = record;
  call->depth++;
}

void gate_set_field(gate_call *call, const void *name, size_t length) {
  size_t offset = gate_arena_bytes(call->arena, name, length);
  gate_op *op = gate_append(call, GATE_OP_SET_FIELD);
  op->integer = (int64_t)offset;
  op->extra = (uint32_t)length;
}

void gate_set_index(gate_call *call, int64_t index) {
  gate_append(call, GATE_OP_SET_INDEX)->integer = index;
}

void gate_end_table(gate_call *call, bool refusal) {
  if (refusal) gate_append(call, GATE_OP_REFUSAL);
  call->depth--;
}

void gate_return_object(gate_call *call, const gate_type *type, void *object, uint64_t index,
                        uint32_t generation) {
  gate_append(call, GATE_OP_OBJECT)->pointer = type;
  call->depth++;
  gate_op *body = gate_append(call, GATE_OP_OBJECT_BODY);
  call->depth--;
  body->pointer = object;
  body->integer = (int64_t)index;
  body->extra = generation;
  call->arena->object_count++;
}

void gate_return_reference(gate_call *call, int32_t reference) {
  gate_append(call, GATE_OP_REFERENCE)->integer = reference;
}

void gate_fail(gate_call *call, const void *message, size_t length) {
  gate_return_string(call, message, length);
}

// Pushes what the operations from `from` up to `to` describe. May raise; needs 3 slots and one more
// for each result and each level of nested tables.
void gate_replay(lua_State *L, gate_session *s, size_t from, size_t to) {
  for (size_t i = from; i < to; i++) {
    // Read afresh each time: a finalizer that runs while an object is made may grow the arena.
    gate_op *op = &s->arena.ops[i];
    switch (op->kind) {
    case GATE_OP_NIL: lua_pushnil(L); break;
    case GATE_OP_BOOLEAN: lua_pushboolean(L, op->integer != 0); break;
    case GATE_OP_INTEGER: lua_pushinteger(L, op->integer); break;
    case GATE_OP_NUMBER: {
      double number;
      memcpy(&number, &op->integer, sizeof number);
      lua_pushnumber(L, number);
      break;
    }
    case GATE_OP_STRING: lua_pushlstring(L, s->arena.bytes + op->integer, op->extra); break;
    case GATE_OP_TABLE:
      luaL_checkstack(L, 6, "table nested too deeply");
      lua_createtable(L, (int)op->extra, (int)op->integer);
      break;
    case GATE_OP_SET_FIELD:
      lua_pushlstring(L, s->arena.bytes + op->integer, op->extra);
      lua_insert(L, -2);
      lua_rawset(L, -3);
      break;
    case GATE_OP_SET_INDEX: lua_rawseti(L, -2, op->integer); break;
    case GATE_OP_OBJECT:
      gate_push_object(L, s, i);
      i++;
      break;
    case GATE_OP_OBJECT_BODY: break;
    case GATE_OP_REFERENCE: lua_rawgeti(L, LUA_REGISTRYINDEX, op->integer); break;
    case GATE_OP_REFUSAL:
      lua_rawgetp(L, LUA_REGISTRYINDEX, &gate_key_refusal);
      lua_setmetatable(L, -2);
      break;
    }
  }
}

// ---- Trampoline -------------------------------------------------------------------------------

// A continuation is kept by a userdata on the coroutine's stack, so that a coroutine that is never
// resumed gives it back when it is collected.
static int collect_continuation(lua_State *L) {
  void **slot = lua_touserdata(L, 1);
  if (slot && *slot) {
    void *state = *slot;
    *slot = NULL;
    gate_session_of(L)->host.release(state);
  }
  return 0;
}

static const char continuation_metatable = 0;

static void push_continuation_slot(lua_State *L) {
  void **slot = lua_newuserdatauv(L, sizeof *slot, 0);
  *slot = NULL;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &continuation_metatable) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    lua_pushcfunction(L, collect_continuation);
    lua_setfield(L, -2, "__gc");
    lua_pushboolean(L, false);
    lua_setfield(L, -2, "__metatable");
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &continuation_metatable);
  }
  lua_setmetatable(L, -2);
}

static int resume_body(lua_State *L, int status, lua_KContext context);

// Runs the body on the `count` arguments from slot `first`; `slot` holds the continuation, or is 0.
static int enter(lua_State *L, const gate_function *f, int first, int count, int slot) {
  gate_session *s = f->session;
  gate_check_stack(L, s);
  gate_object *self = NULL;
  int argument = first;
  if (f->owner) {
    self = gate_check_self(L, f, first, slot != 0);
    argument++;
    count--;
  }
  int values_count = f->named || f->parameter_count > count ? f->parameter_count : count;
  gate_value values[values_count > 0 ? values_count : 1];
  gate_check_arguments(L, f, argument, count, values);

  size_t ops = s->arena.count, bytes = s->arena.byte_count;
  gate_call call;
  call.session = s;
  call.L = L;
  call.arena = &s->arena;
  call.arguments = values;
  call.argument_count = f->named ? f->parameter_count : values_count;
  call.self = self;
  call.result_count = 0;
  call.depth = 0;
  call.continuation = NULL;
  call.next_continuation = NULL;
  call.failure_has_position = false;
  call.pressure = 0;
  if (slot) {
    void **state = lua_touserdata(L, slot);
    call.continuation = *state;
  }

  int32_t outcome = f->body(f->context, &call);

  if (slot && outcome != GATE_YIELD) {
    *(void **)lua_touserdata(L, slot) = NULL;
    if (call.continuation) s->host.release(call.continuation);
  }
  if (__builtin_expect(call.pressure > 0, 0)) {
    int64_t kilobytes = call.pressure >> 10;
    lua_gc(L, LUA_GCSTEP, kilobytes < (1 << 20) ? (int)kilobytes : 1 << 20);
  }
  if (__builtin_expect(__atomic_load_n(&s->stop, __ATOMIC_RELAXED) != 0, 0)) {
    if (call.next_continuation) s->host.release(call.next_continuation);
    gate_arena_reset(s, ops, bytes);
    gate_arm(s, L);
    gate_raise_stop(L, s, 1);
  }
  if (__builtin_expect(outcome == GATE_DONE, 1)) {
    int results = call.result_count;
    if (results == 1 && s->arena.ops[ops].kind == GATE_OP_INTEGER) {
      lua_pushinteger(L, s->arena.ops[ops].integer);
      s->arena.count = ops;
      return 1;
    }
    if (results > 0) {
      luaL_checkstack(L, results + 6, "too many results");
      gate_replay(L, s, ops, s->arena.count);
    }
    gate_arena_reset(s, ops, bytes);
    return results;
  }
  if (outcome == GATE_FAILED) {
    luaL_checkstack(L, 6, "host failure");
    if (call.failure_has_position) lua_pushliteral(L, "");
    else luaL_where(L, 1);
    size_t last = s->arena.count;
    gate_replay(L, s, last - 1, last);
    gate_arena_reset(s, ops, bytes);
    lua_concat(L, 2);
    return lua_error(L);
  }
  // GATE_YIELD. The state moves into a collectable slot before anything else may raise.
  void *state = call.next_continuation;
  if (!lua_isyieldable(L)) {
    if (state) s->host.release(state);
    gate_arena_reset(s, ops, bytes);
    return luaL_error(L, "'%s' can yield only inside a coroutine", f->name);
  }
  if (!slot) {
    // Missing arguments become nils, so that the slot is not taken for one on the next entry.
    int given = f->named ? count : values_count;
    lua_settop(L, argument + given - 1);
    // Nothing refers to `state` yet but this frame; keep it in the arena while allocating.
    gate_return_object(&call, (const gate_type *)f, state, 0, 0);
    push_continuation_slot(L);
    slot = lua_gettop(L);
    s->arena.ops[s->arena.count - 1].pointer = NULL;
    s->arena.object_count--;
    s->arena.count -= 2;
    call.result_count--;
  } else {
    lua_settop(L, slot);
  }
  void **kept = lua_touserdata(L, slot);
  void *former = *kept;
  *kept = state;
  if (former) s->host.release(former);  // also when it is the same object: that was retained twice
  int results = call.result_count;
  luaL_checkstack(L, results + 6, "too many results");
  gate_replay(L, s, ops, s->arena.count);
  gate_arena_reset(s, ops, bytes);
  return lua_yieldk(L, results, (lua_KContext)slot, resume_body);
}

static int resume_body(lua_State *L, int status, lua_KContext context) {
  (void)status;
  int slot = (int)context;
  lua_settop(L, slot);  // what resume was given is not for the body
  const gate_function *f = lua_touserdata(L, lua_upvalueindex(1));
  return enter(L, f, 1, slot - 1, slot);
}

int gate_enter(lua_State *L, const gate_function *f, int first) {
  return enter(L, f, first, lua_gettop(L) - first + 1, 0);
}

int gate_trampoline(lua_State *L) {
  const gate_function *f = lua_touserdata(L, lua_upvalueindex(1));
  return enter(L, f, 1, lua_gettop(L), 0);
}

void gate_push_function(lua_State *L, const gate_function *f) {
  lua_pushlightuserdata(L, (void *)f);
  lua_pushcclosure(L, gate_trampoline, 1);
}

bool gate_is_yieldable(lua_State *L) { return lua_isyieldable(L); }

// ---- Calling back -----------------------------------------------------------------------------

typedef struct invocation {
  int32_t reference;
  size_t from, to;
} invocation;

// Slots: 1 the request, 2 the function unless it is a reference.
static int invoke(lua_State *L) {
  invocation *request = lua_touserdata(L, 1);
  gate_session *s = gate_session_of(L);
  gate_check_stack(L, s);
  luaL_checkstack(L, (int)(request->to - request->from) + 8, "too many arguments");
  if (request->reference) lua_rawgeti(L, LUA_REGISTRYINDEX, request->reference);
  int function = lua_gettop(L);
  gate_replay(L, s, request->from, request->to);
  lua_call(L, lua_gettop(L) - function, LUA_MULTRET);
  return lua_gettop(L) - function + 1;
}

int32_t gate_invoke(gate_call *call, int32_t slot, int32_t reference, size_t base, int32_t *first,
                    int32_t *count) {
  lua_State *L = call->L;
  gate_session *s = call->session;
  *first = lua_gettop(L) + 1;
  *count = 0;
  if (!lua_checkstack(L, 8)) return GATE_RUN_FAILED;
  invocation request = {reference, base, s->arena.count};
  lua_pushcfunction(L, invoke);
  lua_pushlightuserdata(L, &request);
  if (slot) lua_pushvalue(L, slot);
  int status = lua_pcall(L, slot ? 2 : 1, LUA_MULTRET, 0);
  gate_arena_reset(s, base, s->arena.byte_count);
  *count = lua_gettop(L) - *first + 1;
  if (gate_poll_flag(&s->stop)) return GATE_RUN_STOPPED;
  return status == LUA_OK ? GATE_RUN_OK : GATE_RUN_FAILED;
}
