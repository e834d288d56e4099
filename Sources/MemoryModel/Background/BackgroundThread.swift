// Invariant: a thread is in `pending` at most once, and no two threads run at the same time. Nothing here
// runs by itself: a woken thread waits until somebody lets it run.

/// A kernel thread that looks after one node's memory.
public enum BackgroundThread: Sendable, Hashable, Codable {
  case kswapd(node: Int)
  case kcompactd(node: Int)

  /// The name that it has in the kernel's log and traces.
  public var name: String {
    switch self {
    case .kswapd(let node): "kswapd\(node)"
    case .kcompactd(let node): "kcompactd\(node)"
    }
  }

  public var node: Int {
    switch self {
    case .kswapd(let node), .kcompactd(let node): node
    }
  }
}

/// Which threads were woken and have not run yet.
public struct BackgroundQueue: Sendable, Codable {
  /// In the order in which they were woken.
  public internal(set) var pending: [BackgroundThread] = []
  /// The one that runs now.
  public internal(set) var running: BackgroundThread?
  /// Threads run when ``Machine/runBackground()`` is called; a replay, whose recording says when they ran,
  /// turns this off and calls ``Machine/run(_:)``.
  public var isEnabled = true
  /// The operation has not warned of a failed allocation yet.
  var mayWarn = true
}

extension Machine {
  /// Remembers that a thread was woken; it runs when the operation that woke it is over.
  mutating func wake(_ thread: BackgroundThread) {
    if background.running != thread, !background.pending.contains(thread) {
      background.pending.append(thread)
    }
  }

  /// Whether a thread sleeps, so that it can be woken.
  ///
  /// Kernel: `waitqueue_active()`, `wq_has_sleeper()`.
  func isAsleep(_ thread: BackgroundThread) -> Bool {
    if case .kcompactd(let node) = thread, isKcompactdPaused(node: node) { return false }
    return background.running != thread && !background.pending.contains(thread)
  }

  /// Whether whoever runs the operation wants it to end; the kernel's threads end their run, too.
  var isToStop: Bool { shouldStop?() ?? false }

  /// Runs the threads that were woken, first come first served, until none is left.
  ///
  /// The one place where the model's background threads run: whoever lets a task do something calls it
  /// when the task is done, or has to wait. So the same script always finds them at the same moments.
  ///
  /// - Returns: Whether any thread ran.
  @discardableResult
  public mutating func runBackground() -> Bool {
    background.mayWarn = true
    guard background.isEnabled, background.running == nil, !background.pending.isEmpty else {
      return false
    }
    while !isToStop, let thread = background.pending.first { run(thread) }
    return true
  }

  /// Runs one thread until it sleeps again, woken or not.
  ///
  /// It runs on a CPU of its node: the current one, if it is.
  package mutating func run(_ thread: BackgroundThread) {
    while !step(thread) {}
  }

  /// Runs one thread for one round of its loop.
  ///
  /// - Returns: Whether it sleeps.
  package mutating func step(_ thread: BackgroundThread) -> Bool {
    background.pending.removeAll { $0 == thread }
    let (before, cpu) = (background.running, currentCPU)
    background.running = thread
    if cpuNodes[cpu] != thread.node, let own = cpuNodes.firstIndex(of: thread.node) {
      currentCPU = own
    }
    defer {
      currentCPU = cpu
      background.running = before
    }
    switch thread {
    case .kswapd(let node): return stepKswapd(node: node)
    case .kcompactd(let node): return stepKcompactd(node: node)
    }
  }
}
