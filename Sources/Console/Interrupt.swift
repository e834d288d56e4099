// Ctrl-C while a statement runs. The keypress becomes a flag, which an evaluator in Swift may poll,
// and a call of a C function, for an evaluator that has its own way to stop.

internal import CReadlineSupport

/// The Ctrl-C of the statement that is running.
public enum Interrupt {
  /// What is called in the signal handler itself.
  ///
  /// It may run at any instruction of the program. It must be a function that POSIX calls
  /// async-signal-safe, in practice one that sets an atomic and is written in C.
  public typealias Hook = @convention(c) () -> Void

  /// Whether Ctrl-C was pressed since the statement that is running began.
  ///
  /// Safe to ask from any thread, and cheap: one atomic load.
  public static var isPending: Bool { console_interrupt_is_pending() }

  static func install() { console_interrupt_install() }

  static func remove() { console_interrupt_remove() }

  static func clear() { console_interrupt_clear() }

  /// Runs `body` as something that Ctrl-C stops.
  ///
  /// A Ctrl-C from before counts no more. One that came during `body` is left pending, so that the
  /// caller can see it.
  static func during<Result>(_ hook: Hook?, _ body: () -> Result) -> Result {
    clear()
    console_interrupt_set_hook(hook)
    defer { console_interrupt_set_hook(nil) }
    return body()
  }
}
