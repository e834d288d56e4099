// Shared by the C files of the gate; Swift does not see it.
#pragma once

#include "CLuaGate.h"

#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdatomic.h>

#define GATE_MAGIC UINT64_C(0x6c75616761746531)

struct gate_session {
  lua_State *L;                    // the main thread; NULL once closed
  _Atomic(lua_State *) running;    // the thread that executes now; the signal handler hooks it
  int32_t stop;                    // atomic by builtin, so that Swift can hold its address
  atomic_int hooking;              // an interrupt is using `running`
  bool busy;                       // a run is on
  bool sandbox;
  bool pressure;                   // memory went above the limit since the last full collection
  gate_host host;

  size_t memory_used, memory_limit;
  uint64_t instruction_limit, instructions;
  uint64_t time_limit, deadline;   // nanoseconds
  uint32_t polls;
  int hook_interval;               // 0 when no limit needs the count hook

  uintptr_t stack_floor;           // C stack addresses below it are refused
  uint64_t seed, random[4];
  uint64_t serial;                 // of host objects
  lua_Integer identity;            // of printed tables, functions and threads

  gate_arena arena;
  int32_t result_count;
  bool syntax_error;               // of the run's own source, which has no traceback
  char *message, *traceback, *text;
  size_t message_length, traceback_length, text_length;
};

static inline gate_session *gate_session_of(lua_State *L) {
  return *(gate_session **)lua_getextraspace(L);
}

// Registry keys: the address is the key.
extern const char gate_key_objects;     // weak values: host object address -> userdata
extern const char gate_key_refusal;     // metatable of refusals
extern const char gate_key_identities;  // weak keys: value -> number
extern const char gate_key_printer;     // the printer, a Lua function
extern const char gate_key_hex;         // keys whose integers the printer shows in hex
extern const char gate_key_next;        // cached traversals of next

// gate_limits.c
void *gate_allocate(void *session, void *block, size_t old_size, size_t new_size);
void gate_begin_limits(gate_session *s);
void gate_arm(gate_session *s, lua_State *L);
void gate_switch(gate_session *s, lua_State *L);
void gate_poll_slow(lua_State *L, gate_session *s);
_Noreturn void gate_raise_stop(lua_State *L, gate_session *s, int level);
void gate_check_stack(lua_State *L, gate_session *s);
void gate_check_room(lua_State *L, gate_session *s, size_t bytes);
void gate_prepare_stack(gate_session *s);

// To be called every thousand or so steps of a loop in C.
static inline void gate_poll(lua_State *L) {
  gate_session *s = gate_session_of(L);
  if (__atomic_load_n(&s->stop, __ATOMIC_RELAXED) || s->pressure || s->hook_interval)
    gate_poll_slow(L, s);
}

// gate_call.c
int gate_trampoline(lua_State *L);
int gate_enter(lua_State *L, const gate_function *f, int first);
void gate_push_function(lua_State *L, const gate_function *f);
void gate_arena_reset(gate_session *s, size_t ops, size_t bytes);
void gate_replay(lua_State *L, gate_session *s, size_t from, size_t to);

// gate_arguments.c
void gate_check_arguments(lua_State *L, const gate_function *f, int first, int count,
                          gate_value *values);
gate_object *gate_check_self(lua_State *L, const gate_function *f, int index, bool resumed);
const char *gate_describe(lua_State *L, int index);

// gate_object.c
gate_object *gate_to_object(lua_State *L, int index);
void gate_push_object(lua_State *L, gate_session *s, size_t op);
void gate_push_type(lua_State *L, gate_session *s, const gate_type *type);

// gate_base.c and the libraries
const char *gate_tolstring(lua_State *L, int index, size_t *length);
void gate_open_libraries(lua_State *L, gate_session *s);
void gate_open_base(lua_State *L, gate_session *s);
void gate_open_order(lua_State *L);
void gate_forget_traversals(lua_State *L);
void gate_open_string(lua_State *L, gate_session *s);
void gate_open_pattern(lua_State *L);
void gate_open_table(lua_State *L);
void gate_open_coroutine(lua_State *L);
void gate_open_random(lua_State *L, gate_session *s);
void gate_open_printer(lua_State *L);
void gate_set_function(lua_State *L, const char *name, lua_CFunction function);
