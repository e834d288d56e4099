// Interrupts and limits.
//
// Invariant: once `stop` is set, it stays set until the top-level run ends, and everything that can
// run for long looks at it. Lua code is reached by a count hook of 1 on the running thread; loops in
// C poll; host bodies poll the flag. So a script that catches the error meets it again at its next
// instruction.
//
// Without limits no hook is set, because a count hook doubles the cost of Lua code at any interval.
// An interrupt sets the hook itself, on the thread that runs now: lua_sethook is documented as
// callable from a signal handler. That is why coroutine.resume, wrap and close are ours: they keep
// `running` true.
//
// Memory: above the limit the allocator still grants what Lua asks, marks `pressure` and sets the
// hook; at the next instruction a full collection decides between going on and stopping. Returning
// NULL would start Lua 5.4.4's emergency collection, which can free a table that luaV_finishset is
// storing into (upstream 983bc433). NULL is left for strings far above the limit, which do not
// pass there, and for a hard cap that a table cannot reach by doubling.
#define _GNU_SOURCE
#include "gate_internal.h"

#include <pthread.h>
#include <stdlib.h>
#include <time.h>

enum { slack_bytes = 1 << 20 };

static uint64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void set_stop(gate_session *s, int32_t reason) {
  int32_t none = GATE_STOP_NONE;
  __atomic_compare_exchange_n(&s->stop, &none, reason, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
}

// ---- Memory -----------------------------------------------------------------------------------

void *gate_allocate(void *session, void *block, size_t old_size, size_t new_size) {
  gate_session *s = session;
  size_t held = block ? old_size : 0;
  if (new_size == 0) {
    free(block);
    s->memory_used -= held;
    return NULL;
  }
  if (new_size > held && s->memory_limit) {
    size_t limit = s->memory_limit;
    size_t wanted = s->memory_used - held + new_size;
    // Without a block, old_size says what kind of object is being made.
    bool bulk = !block && (old_size == LUA_TSTRING || old_size == LUA_TUSERDATA);
    // A table of at most `limit` bytes grows by doubling while the old half is still held.
    size_t cap = bulk ? limit + slack_bytes : 3 * limit + slack_bytes;
    if (wanted > cap) return NULL;
    if (wanted > limit && !s->pressure) {
      s->pressure = true;
      lua_State *L = atomic_load(&s->running);
      if (L) gate_arm(s, L);
    }
  }
  void *grown = realloc(block, new_size);
  if (grown) s->memory_used += new_size - held;
  return grown;
}

void gate_check_room(lua_State *L, gate_session *s, size_t bytes) {
  if (s->memory_limit && s->memory_used + bytes > s->memory_limit + slack_bytes) {
    lua_gc(L, LUA_GCCOLLECT);
    if (s->memory_used + bytes > s->memory_limit + slack_bytes)
      luaL_error(L, "not enough memory (%d MiB wanted)", (int)(bytes >> 20));
  }
}

static void relieve(lua_State *L, gate_session *s) {
  lua_gc(L, LUA_GCCOLLECT);
  s->pressure = false;
  // Some room must come back, or every few instructions would pay for a full collection.
  if (s->memory_used > s->memory_limit - s->memory_limit / 16) set_stop(s, GATE_STOP_MEMORY);
}

uint64_t gate_memory_used(gate_session *s) { return s->memory_used; }

// ---- Stopping ---------------------------------------------------------------------------------

void gate_raise_stop(lua_State *L, gate_session *s, int level) {
  luaL_checkstack(L, 8, "interrupted");
  luaL_where(L, level);
  switch (s->stop) {
  case GATE_STOP_INSTRUCTIONS:
    lua_pushfstring(L, "instruction limit reached (%I)", (lua_Integer)s->instruction_limit);
    break;
  case GATE_STOP_TIME:
    lua_pushfstring(L, "time limit reached (%f s)", (lua_Number)s->time_limit / 1e9);
    break;
  case GATE_STOP_MEMORY:
    lua_pushfstring(L, "memory limit reached (%f MiB)",
                    (lua_Number)s->memory_limit / (1 << 20));
    break;
  default: lua_pushliteral(L, "interrupted"); break;
  }
  lua_concat(L, 2);
  lua_error(L);
  abort();
}

static void count_hook(lua_State *L, lua_Debug *ar) {
  (void)ar;
  gate_session *s = gate_session_of(L);
  int interval = lua_gethookcount(L);
  s->instructions += (uint64_t)interval;
  if (s->instruction_limit && s->instructions >= s->instruction_limit)
    set_stop(s, GATE_STOP_INSTRUCTIONS);
  if (s->deadline && now() >= s->deadline) set_stop(s, GATE_STOP_TIME);
  if (s->pressure) relieve(L, s);
  if (__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
    if (interval != 1) gate_arm(s, L);
    gate_raise_stop(L, s, 0);
  }
  if (s->hook_interval == 0) {
    lua_sethook(L, NULL, 0, 0);
    // An interrupt between the look above and the line before would be lost.
    if (__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) gate_arm(s, L);
  } else if (interval != s->hook_interval) {
    lua_sethook(L, count_hook, LUA_MASKCOUNT, s->hook_interval);
  }
}

void gate_arm(gate_session *s, lua_State *L) {
  (void)s;
  lua_sethook(L, count_hook, LUA_MASKCOUNT, 1);
}

void gate_poll_slow(lua_State *L, gate_session *s) {
  if (s->hook_interval) {
    s->instructions += 1000;
    if (s->instruction_limit && s->instructions >= s->instruction_limit)
      set_stop(s, GATE_STOP_INSTRUCTIONS);
    if (s->deadline && (++s->polls & 15) == 0 && now() >= s->deadline) set_stop(s, GATE_STOP_TIME);
  }
  if (s->pressure) relieve(L, s);
  if (__atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) {
    gate_arm(s, L);
    gate_raise_stop(L, s, 1);
  }
}

bool gate_should_stop(gate_session *s) {
  if (s->deadline && (++s->polls & 15) == 0 && now() >= s->deadline) set_stop(s, GATE_STOP_TIME);
  return gate_poll_flag(&s->stop);
}

void gate_interrupt(gate_session *s) {
  set_stop(s, GATE_STOP_INTERRUPT);
  // gate_switch waits while `hooking` is set, so a thread that is being hooked is not collected.
  atomic_fetch_add(&s->hooking, 1);
  lua_State *L = atomic_load(&s->running);
  if (L) gate_arm(s, L);
  atomic_fetch_sub(&s->hooking, 1);
}

const int32_t *gate_stop_flag(gate_session *s) { return &s->stop; }
int32_t gate_stop_reason(gate_session *s) { return s->stop; }

// Says which thread runs from now on.
void gate_switch(gate_session *s, lua_State *L) {
  atomic_store(&s->running, L);
  while (atomic_load(&s->hooking)) {}
  if (L && __atomic_load_n(&s->stop, __ATOMIC_SEQ_CST)) gate_arm(s, L);
}

void gate_begin_limits(gate_session *s) {
  __atomic_store_n(&s->stop, GATE_STOP_NONE, __ATOMIC_SEQ_CST);
  s->pressure = false;
  s->instructions = 0;
  s->deadline = s->time_limit ? now() + s->time_limit : 0;
  s->hook_interval = 0;
  if (s->instruction_limit || s->time_limit) {
    s->hook_interval = 1000;
    if (s->instruction_limit && s->instruction_limit < 1000)
      s->hook_interval = (int)s->instruction_limit;
  }
  lua_sethook(s->L, s->hook_interval ? count_hook : NULL, s->hook_interval ? LUA_MASKCOUNT : 0,
              s->hook_interval);
  gate_prepare_stack(s);
}

// ---- The C stack ------------------------------------------------------------------------------

// Lua counts C levels for each thread and refuses the 200th, but closing a coroutine starts a new
// count (upstream 1e64c139: 100,000 nested coroutine.close end in SIGSEGV). So whatever of ours
// re-enters Lua measures the real stack.
void gate_prepare_stack(gate_session *s) {
  static _Thread_local uintptr_t floor;
  if (!floor) {
    pthread_attr_t attributes;
    void *base = NULL;
    size_t size = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      pthread_attr_getstack(&attributes, &base, &size);
      pthread_attr_destroy(&attributes);
    }
    // 200 C levels of one thread need about 600 KiB between two of our checks.
    size_t margin = size > (4u << 20) ? (size_t)1 << 20 : size / 2;
    uintptr_t here = (uintptr_t)&attributes;
    uintptr_t low = base ? (uintptr_t)base + margin : 0;
    // The main thread's size may be reported as unlimited; eight megabytes are then ours to use.
    if (here > (8u << 20) && low < here - (7u << 20)) low = here - (7u << 20);
    floor = low ? low : 1;
  }
  s->stack_floor = floor;
}

void gate_check_stack(lua_State *L, gate_session *s) {
  char here;
  if ((uintptr_t)&here < s->stack_floor) luaL_error(L, "C stack overflow");
}
