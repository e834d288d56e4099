// Swift gives no promise that a function is safe in a signal handler: reading a global may take the
// lock of its lazy initialiser, and any call may allocate. These few lines are therefore in C. They
// touch only lock-free atomics, which C11 allows in a handler.

#define _GNU_SOURCE  // ppoll

#include "CReadlineSupport.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>

static atomic_bool pending;
static void (*_Atomic hook)(void);
static atomic_bool continued;
static struct sigaction previous;
static struct sigaction previous_continue;

static void handle(int signal) {
  (void)signal;
  int saved = errno;
  atomic_store(&pending, true);
  void (*current)(void) = atomic_load(&hook);
  if (current != NULL) current();
  errno = saved;
}

static void handle_continue(int signal) {
  (void)signal;
  atomic_store(&continued, true);
}

void console_interrupt_install(void) {
  // SA_RESTART, because a write() of output that fails with EINTR loses text in stdio. The wait for
  // a key is in ppoll(), which no flag restarts.
  struct sigaction action = {.sa_handler = handle, .sa_flags = SA_RESTART};
  sigemptyset(&action.sa_mask);
  atomic_store(&pending, false);
  sigaction(SIGINT, &action, &previous);
  action.sa_handler = handle_continue;
  sigaction(SIGCONT, &action, &previous_continue);
}

void console_interrupt_remove(void) {
  sigaction(SIGINT, &previous, NULL);
  sigaction(SIGCONT, &previous_continue, NULL);
  atomic_store(&hook, NULL);
  atomic_store(&pending, false);
}

void console_interrupt_set_hook(void (*new_hook)(void)) { atomic_store(&hook, new_hook); }

bool console_interrupt_is_pending(void) { return atomic_load(&pending); }

void console_interrupt_clear(void) { atomic_store(&pending, false); }

bool console_has_continued(void) { return atomic_load(&continued); }

bool console_take_continued(void) { return atomic_exchange(&continued, false); }

bool console_wait_for_input(int descriptor, const sigset_t *mask) {
  struct pollfd request = {.fd = descriptor, .events = POLLIN};
  return ppoll(&request, 1, NULL, mask) > 0;
}
