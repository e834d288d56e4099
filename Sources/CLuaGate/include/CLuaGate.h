// The only C interface that Swift sees of Lua.
//
// Invariant: no Lua error ever crosses a Swift frame. A Lua error is a longjmp, and a Swift frame
// that is jumped over leaks what it holds. So:
//   - Swift is called by C (a body, a release, a write), returns, and only then does C raise;
//   - every function declared here returns normally to its caller. Whatever may raise or allocate
//     inside Lua runs under lua_pcall behind it;
//   - Swift never uses a lua_State: the pointer in a call goes back to this interface unread.
//
// A body does not push results. It appends operations to the session's arena, which is plain C
// memory; C replays them onto the Lua stack after the body has returned.
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#pragma clang assume_nonnull begin

typedef struct lua_State lua_State;
typedef struct gate_session gate_session;
typedef struct gate_type gate_type;
typedef struct gate_call gate_call;

// ---- Values and parameters --------------------------------------------------------------------

// What a value is, and what a parameter demands.
typedef enum gate_kind : int32_t {
  GATE_NIL,
  GATE_BOOLEAN,    // integer is 0 or 1
  GATE_INTEGER,    // integer
  GATE_NUMBER,     // integer holds the bits of a double
  GATE_STRING,     // pointer, length in integer
  GATE_TABLE,      // index names the stack slot
  GATE_FUNCTION,   // index names the stack slot
  GATE_OBJECT,     // pointer is a gate_object
  GATE_OTHER,      // threads and foreign userdata; index names the stack slot
  // Demands only, never found in a value:
  GATE_ANY,
  GATE_SIZE,       // integer: bytes. Takes integers, whole floats, "1.5G"
  GATE_PFN,        // integer: not negative
  GATE_ADDRESS,    // integer: any bit pattern
  GATE_ENUM,       // integer: position in names; pointer and length are lost
  GATE_FLAGS,      // integer: bit i set for names[i]
  GATE_ANY_OBJECT, // pointer is a gate_object of any type
} gate_kind;

// One argument as C has checked it. Strings stay valid until the body returns.
typedef struct gate_value {
  gate_kind kind;
  int32_t index;
  int64_t integer;
  const void *_Nullable pointer;
} gate_value;

// What one parameter accepts. Owned by the host, alive until the session closes.
typedef struct gate_parameter {
  const char *name;
  gate_kind kind;
  bool optional;
  bool rest;                                  // last parameter: takes all remaining arguments
  int64_t minimum, maximum;                   // for integers, sizes, pfns
  double number_minimum, number_maximum;      // for numbers
  const gate_type *_Nullable type;            // for objects
  const char *_Nonnull const *_Nullable names;  // for enums and flags
  int32_t name_count;
} gate_parameter;

// What a body answers.
enum { GATE_DONE = 0, GATE_FAILED = 1, GATE_YIELD = 2 };

typedef int32_t (*gate_body)(void *context, gate_call *call);

// A host function. Owned by the host, alive until the session closes.
typedef struct gate_function {
  const char *name;
  gate_session *session;
  gate_body body;
  void *context;
  const gate_type *_Nullable owner;           // self is checked against it
  const gate_parameter *_Nullable parameters;
  int32_t parameter_count;
  bool named;                                 // one table with named fields
} gate_function;

// A type of host object. Owned by the host, alive until the session closes.
struct gate_type {
  const char *name;
  uint64_t tag;                               // the host's mark of the Swift class
  bool (*_Nullable is_live)(void *context, void *_Nullable object, uint64_t index,
                            uint64_t generation);
  void *_Nullable context;
  const gate_function *_Nullable const *_Nullable methods;
  int32_t method_count;
  const gate_function *_Nullable const *_Nullable getters;
  int32_t getter_count;
  const gate_function *_Nullable const *_Nullable setters;
  int32_t setter_count;
  // Metamethods, each optional.
  const gate_function *_Nullable display, *_Nullable length, *_Nullable close, *_Nullable equals,
      *_Nullable less, *_Nullable element;
};

// The payload of a host object's userdata.
typedef struct gate_object {
  uint64_t magic;
  const gate_type *type;
  void *_Nullable object;                     // retained by the host's rules; NULL when closed
  uint64_t index;
  uint64_t generation;
  uint64_t serial;                            // creation order, which pairs sorts by
} gate_object;

// ---- The arena of results ---------------------------------------------------------------------

typedef enum gate_op_kind : int32_t {
  GATE_OP_NIL,
  GATE_OP_BOOLEAN,
  GATE_OP_INTEGER,
  GATE_OP_NUMBER,
  GATE_OP_STRING,      // offset in integer, length in extra
  GATE_OP_TABLE,       // array slots in extra, record slots in integer
  GATE_OP_SET_FIELD,   // pops a value; field name: offset in integer, length in extra
  GATE_OP_SET_INDEX,   // pops a value; index in integer
  GATE_OP_OBJECT,      // type in pointer; followed by GATE_OP_OBJECT_BODY
  GATE_OP_OBJECT_BODY, // object in pointer, index in integer, generation in extra
  GATE_OP_REFERENCE,   // pushes the registry reference in integer
  GATE_OP_REFUSAL,     // gives the table on top the metatable of refusals
} gate_op_kind;

typedef struct gate_op {
  gate_op_kind kind;
  uint32_t extra;
  int64_t integer;
  const void *_Nullable pointer;
} gate_op;

typedef struct gate_arena {
  gate_op *_Nullable ops;
  size_t count, capacity;
  char *_Nullable bytes;
  size_t byte_count, byte_capacity;
  size_t object_count;  // unclaimed retained objects among the operations
} gate_arena;

// One call from Lua into the host, alive while the body runs.
struct gate_call {
  gate_session *session;
  lua_State *L;
  gate_arena *arena;
  const gate_value *arguments;
  int32_t argument_count;       // at least the number of parameters
  gate_object *_Nullable self;
  int32_t result_count;         // results appended at depth 0
  int32_t depth;                // open tables
  void *_Nullable continuation; // the state handed over by the body's last GATE_YIELD
  void *_Nullable next_continuation;
  bool failure_has_position;    // the message already says where
  int64_t pressure;             // bytes of host memory that Lua cannot see
};

// Makes room for one more operation. Aborts the process when malloc fails, like Swift does.
void gate_arena_grow(gate_arena *arena);
// Copies bytes into the arena and returns their offset.
size_t gate_arena_bytes(gate_arena *arena, const void *_Nullable bytes, size_t length);

static inline gate_op *gate_append(gate_call *call, gate_op_kind kind) {
  gate_arena *arena = call->arena;
  if (__builtin_expect(arena->count == arena->capacity, 0)) gate_arena_grow(arena);
  gate_op *op = &arena->ops[arena->count++];
  op->kind = kind;
  call->result_count += call->depth == 0;
  return op;
}

static inline void gate_return_nil(gate_call *call) { gate_append(call, GATE_OP_NIL); }
static inline void gate_return_boolean(gate_call *call, bool value) {
  gate_append(call, GATE_OP_BOOLEAN)->integer = value;
}
static inline void gate_return_integer(gate_call *call, int64_t value) {
  gate_append(call, GATE_OP_INTEGER)->integer = value;
}
static inline void gate_return_number(gate_call *call, double value) {
  memcpy(&gate_append(call, GATE_OP_NUMBER)->integer, &value, sizeof value);
}
static inline double gate_value_number(const gate_value *value) {
  double number;
  memcpy(&number, &value->integer, sizeof number);
  return number;
}
void gate_return_string(gate_call *call, const void *_Nullable bytes, size_t length);
// Opens a table. Values appended until gate_end_table are stored by the set calls that follow them.
void gate_begin_table(gate_call *call, int32_t array, int32_t record);
void gate_set_field(gate_call *call, const void *name, size_t length);
void gate_set_index(gate_call *call, int64_t index);
void gate_end_table(gate_call *call, bool refusal);
// Takes over one retain of `object`, which the session's release gives back.
void gate_return_object(gate_call *call, const gate_type *type, void *object, uint64_t index,
                        uint32_t generation);
void gate_return_reference(gate_call *call, int32_t reference);
// The message a body fails with. The body then returns GATE_FAILED.
void gate_fail(gate_call *call, const void *_Nullable message, size_t length);

// Declarations with nothing set but the name: Swift cannot make a struct with null pointers itself.
static inline gate_type gate_make_type(const char *name) { return (gate_type){.name = name}; }
static inline gate_parameter gate_make_parameter(const char *name, gate_kind kind) {
  return (gate_parameter){.name = name, .kind = kind, .minimum = INT64_MIN, .maximum = INT64_MAX,
                          .number_minimum = -__builtin_inf(), .number_maximum = __builtin_inf()};
}
// A call that only builds values in the session's arena.
gate_call gate_make_builder(gate_session *session);

// ---- Sessions ---------------------------------------------------------------------------------

typedef struct gate_limits {
  uint64_t memory;        // bytes, 0 for none
  uint64_t instructions;  // per run, approximate, 0 for none
  uint64_t nanoseconds;   // per run, wall time, 0 for none
} gate_limits;

typedef struct gate_host {
  void *context;
  void (*write)(void *context, const char *_Nullable bytes, size_t length);
  void (*release)(void *object);
} gate_host;

enum {
  GATE_STOP_NONE,
  GATE_STOP_INTERRUPT,
  GATE_STOP_INSTRUCTIONS,
  GATE_STOP_TIME,
  GATE_STOP_MEMORY,
};

// NULL only when the process is out of memory.
gate_session *_Nullable gate_open(gate_limits limits, bool sandbox, uint64_t seed, gate_host host);
// Runs the finalizers; afterwards only gate_interrupt, gate_stop_flag and gate_free are allowed.
void gate_close(gate_session *session);
void gate_free(gate_session *session);

// Async-signal-safe, and callable from any thread: stops whatever the session runs.
void gate_interrupt(gate_session *session);
// Non-zero when the running script must stop. Poll it with gate_poll_flag.
const int32_t *gate_stop_flag(gate_session *session);
static inline bool gate_poll_flag(const int32_t *flag) {
  return __atomic_load_n(flag, __ATOMIC_RELAXED) != 0;
}
// Like the flag, but also looks at the clock when a time limit is set.
bool gate_should_stop(gate_session *session);
uint64_t gate_memory_used(gate_session *session);

// Outcomes of the protected functions below.
enum {
  GATE_RUN_OK,
  GATE_RUN_FAILED,      // the error is described by gate_message and gate_traceback
  GATE_RUN_INCOMPLETE,  // the source ends too early
  GATE_RUN_STOPPED,     // an interrupt or a limit; the reason is gate_stop_reason
  GATE_RUN_BUSY,        // the session already runs
  GATE_RUN_YIELDED,     // a coroutine that waits to be resumed
};

// The position of the name nearest to `name`, or -1 when none is near.
int gate_nearest(const char *name, const char *_Nonnull const *_Nonnull names, int count);

// Registers; false when memory ran out.
bool gate_register_type(gate_session *session, const gate_type *type);
// `path` may be dotted: "table.name".
bool gate_register_function(gate_session *session, const char *path, const gate_function *function);
// The prompt shows integers under this key in hex.
bool gate_show_in_hex(gate_session *session, const char *name);

// Runs source text. On GATE_RUN_OK the results lie in slots 1...count of the main stack, until
// gate_finish. `arguments` are strings for `...` and the global `arg`.
int32_t gate_run(gate_session *session, const char *source, size_t length, const char *chunk,
                 const char *_Nonnull const *_Nullable arguments, int32_t argument_count);
// Runs a line of the prompt: as an expression, else as a statement. Keeps the results in _ and _n.
int32_t gate_evaluate(gate_session *session, const char *source, size_t length, const char *chunk);
// Calls a registry reference with the operations above `base` as arguments.
int32_t gate_call_reference(gate_session *session, int32_t reference, size_t base);
int32_t gate_result_count(gate_session *session);
// Drops the results, ends the run: limits and interrupts start afresh.
void gate_finish(gate_session *session);
const char *gate_message(gate_session *session, size_t *length);
const char *gate_traceback(gate_session *session, size_t *length);
int32_t gate_stop_reason(gate_session *session);

// Turns the value in a slot into text: `quoted` as the prompt shows it, else as tostring.
// The text lives until the next call. Empty when it failed.
const char *gate_display(gate_session *session, lua_State *L, int32_t index, bool quoted,
                         size_t *length);

// ---- Reading values; none raises or allocates -------------------------------------------------

lua_State *gate_main(gate_session *session);
gate_value gate_read(lua_State *L, int32_t index);
// Iterates over the table in the absolute slot `table`, raw and in the order of `next`. Start with
// gate_next_begin; while gate_next is true the key and value lie in the top two slots, and
// gate_next_pop drops the value. gate_next_end restores the stack after an early stop.
bool gate_next_begin(lua_State *L);
bool gate_next(lua_State *L, int32_t table);
void gate_next_pop(lua_State *L);
int32_t gate_top(lua_State *L);
void gate_set_top(lua_State *L, int32_t top);
// Pushes the raw field; false when there is no room.
bool gate_push_field(lua_State *L, int32_t table, const char *name, size_t length);
bool gate_push_index(lua_State *L, int32_t table, int64_t index);
bool gate_push_globals(lua_State *L);
// Pushes the metatable's table `__index`, if it is a table. False, and nothing pushed, if not.
bool gate_push_index_table(lua_State *L, int32_t index);
// The function behind a host function value, or NULL.
const gate_function *_Nullable gate_function_at(lua_State *L, int32_t index);
// Keeps the value alive; -1 when memory ran out.
int32_t gate_reference(lua_State *L, int32_t index);
void gate_release_reference(gate_session *session, int32_t reference);
bool gate_is_yieldable(lua_State *L);

// ---- Calling back into Lua from a body --------------------------------------------------------

// Calls the value in a stack slot or, when `slot` is 0, a registry reference, with the operations
// above `base` as arguments. Results or the error message lie above `*first`; gate_set_top(L,
// *first - 1) drops them.
int32_t gate_invoke(gate_call *call, int32_t slot, int32_t reference, size_t base, int32_t *first,
                    int32_t *count);
// Makes a coroutine that will call a registry reference; a registry reference to it, or -1 when memory
// ran out.
int32_t gate_coroutine(gate_call *call, int32_t reference);
// Runs a coroutine until it yields or ends, its function called with the operations above `base` the
// first time. What it returned, or its error, lies on `*thread` from `*first` on; it stays there.
// GATE_RUN_OK is the end, GATE_RUN_YIELDED a yield.
int32_t gate_resume_coroutine(gate_call *call, int32_t coroutine, size_t base,
                              lua_State *_Nullable *_Nonnull thread, int32_t *first,
                              int32_t *count);
// Whether the call came from inside that coroutine itself.
bool gate_is_coroutine(gate_call *call, int32_t coroutine);
// Marks the object closed and gives back its retain.
void gate_close_object(gate_session *session, gate_object *object);

// ---- For the benchmark ------------------------------------------------------------------------

// Registers `plain_c(order)` and the class `plain_object():method(order)`, written against the Lua
// API the usual way: luaL_checkinteger, luaL_argcheck, luaL_checkudata.
bool gate_bench_plain_c(gate_session *session);

#pragma clang assume_nonnull end
