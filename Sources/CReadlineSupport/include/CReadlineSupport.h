#pragma once

#include <signal.h>
#include <stdbool.h>

// Ctrl-C as a flag and a hook. There is one SIGINT in a process, so there is one of each.

// Takes over SIGINT and SIGCONT and remembers who had them.
void console_interrupt_install(void);

// Gives them back.
void console_interrupt_remove(void);

// From now on a Ctrl-C also calls `hook`, in the handler: it may do only what a handler may.
// NULL ends this.
void console_interrupt_set_hook(void (*hook)(void));

// Whether Ctrl-C was pressed since the last console_interrupt_clear().
bool console_interrupt_is_pending(void);

void console_interrupt_clear(void);

// Whether the process was stopped and went on since the last console_take_continued().
bool console_has_continued(void);

// The same, and forgets it.
bool console_take_continued(void);

// Sleeps until there is something to read, with `mask` as the blocked signals meanwhile. False if a
// signal came instead. (ppoll(), which is not visible from Swift.)
bool console_wait_for_input(int descriptor, const sigset_t *mask);
