// Invariant: `countdown` is how many events of the allocator the running operation has still to cause
// until the next request is due; 0 or less when none is waiting.

/// What another task or an interrupt asks the allocator for in the middle of an operation.
///
/// A recorded machine does more than a model executes: its kernel needs slab pages, and interrupts
/// come. Their requests are known by their place among the events of an operation.
package struct ForeignRequest: Sendable, Equatable, Codable {
  package enum Kind: Sendable, Equatable, Codable {
    case allocate(GFPFlags)
    case free(PFN)
    /// Freed by an interrupt that came while the running operation held the lock of the CPU's lists.
    case freePastLists(PFN)
    /// A kernel thread gets to run, for one round of its loop. What it allocates and frees counts among the operation's events.
    ///
    /// Pages of the kernel that its shrinkers give back are told beforehand.
    case thread(BackgroundThread, shrunk: [ShrunkPages])
    /// A node's kcompactd begins to run or goes on, and loses its CPU after so many scans of a pageblock.
    case kcompactd(node: Int, scans: Int?)
    /// The nap of a node's kswapd is over.
    case endNap(node: Int)
  }

  package struct ShrunkPages: Sendable, Equatable, Codable {
    let pfn: PFN
    let order: Int

    package init(_ pfn: PFN, order: Int) {
      self.pfn = pfn
      self.order = order
    }
  }

  /// How many allocations and frees of the operation come before it.
  package var position: Int
  package var kind: Kind
  package let order: Int
  /// How many times the operation itself has woken kswapd, reclaimed, begun to compact or looked for what
  /// can move before it: threads run in the middle of an allocation, too.
  package let steps: Int

  package init(position: Int, _ kind: Kind, order: Int, steps: Int = 0) {
    self.position = position
    self.kind = kind
    self.order = order
    self.steps = steps
  }
}

/// The requests that wait, in order.
struct ForeignRequests: Sendable, Codable {
  var requests: [ForeignRequest] = []
  var next = 0
  var countdown = 0
  /// What the shrinkers will give back next.
  var shrunk: [ForeignRequest.ShrunkPages] = []
  /// What shrinkers will give back in each direct reclaim of the operation, the next one first.
  var reclaims: [[ForeignRequest.ShrunkPages]] = []
  /// An allocation is under way that has not been counted.
  var isPostponed = false
  /// How many of these places the operation has passed, see ``ForeignRequest/steps``.
  var steps = 0

  /// Whether requests are left, so that every allocation and every free has to be counted.
  var isWaiting: Bool { next < requests.count }

  /// Whether the next request comes before the allocation ends that is under way, but not yet.
  var isHeld: Bool { countdown == 0 && next < requests.count && requests[next].steps > steps }
}

extension Machine {
  /// Announces the foreign requests of the operation that is about to run.
  ///
  /// - Parameter reclaims: What shrinkers give back in the operation's direct reclaims, one by one.
  package mutating func expectForeign(
    _ requests: [ForeignRequest], reclaims: [[ForeignRequest.ShrunkPages]] = []
  ) {
    foreign = ForeignRequests(requests: requests)
    foreign.reclaims = reclaims
    foreign.countdown = requests.first.map { $0.position + 1 } ?? 0
  }

  /// Serves the requests before the operation's first allocation at once.
  package mutating func serveFirstForeign() {
    guard foreign.requests.first?.position == 0 else { return }
    serveDue()
    // The first event is still to come.
    if foreign.countdown > 0 { foreign.countdown += 1 }
  }

  /// Serves the requests that are left at the end of the operation.
  package mutating func finishForeign() {
    let rest = foreign.requests[foreign.next...]
    foreign = ForeignRequests()
    for request in rest { serve(request) }
  }

  /// Called before each allocation and each free.
  @inline(__always)
  mutating func serveForeign() {
    foreign.countdown &-= 1
    if foreign.countdown == 0 { serveDue() }
  }

  /// - Parameter isBefore: In the middle of an allocation, which is counted when it ends.
  private mutating func serveDue(isBefore: Bool = false) {
    if foreign.isHeld, !isBefore { return }
    let position = foreign.requests[foreign.next].position
    while foreign.next < foreign.requests.count, foreign.requests[foreign.next].position == position
    {
      let request = foreign.requests[foreign.next]
      if request.steps > foreign.steps {
        // Its turn comes in the middle of the allocation that begins now.
        foreign.countdown = isBefore ? 1 : 0
        return
      }
      foreign.next += 1
      if case .thread(let thread, let shrunk) = request.kind {
        foreign.shrunk = shrunk
        return serve(thread, at: position, isBefore: isBefore)
      }
      if case .kcompactd(let node, let scans) = request.kind {
        pauseKcompactd(node: node, afterScans: scans)
        return serve(.kcompactd(node: node), at: position, isBefore: isBefore)
      }
      // Its own events are not the operation's.
      foreign.countdown = 0
      serve(request)
    }
    foreign.countdown =
      foreign.next < foreign.requests.count
      ? foreign.requests[foreign.next].position - position + (isBefore ? 1 : 0) : 0
  }

  /// The operation has woken kswapd, reclaims or compacts: where somebody else may get to run.
  mutating func noteMemoryStep() {
    guard background.running == nil, foreign.next < foreign.requests.count else { return }
    foreign.steps += 1
    if foreign.countdown == 1, foreign.requests[foreign.next].steps > 0,
      foreign.requests[foreign.next].steps <= foreign.steps, foreign.isPostponed
    {
      serveDue(isBefore: true)
    }
  }

  /// A scan is over: threads that ran before its report run now, outside of allocations, too.
  mutating func serveThreadsBeforeScan() {
    guard background.running == nil, foreign.next < foreign.requests.count,
      foreign.countdown == 1, !foreign.isPostponed,
      foreign.requests[foreign.next].steps <= foreign.steps
    else { return }
    switch foreign.requests[foreign.next].kind {
    case .thread, .kcompactd: serveDue(isBefore: true)
    default: break
    }
  }

  /// What shrinkers give back in the next direct reclaim is known now.
  mutating func beginShrinkers() {
    foreign.shrunk = foreign.reclaims.isEmpty ? [] : foreign.reclaims.removeFirst()
  }

  /// Frees what the kernel's shrinkers give back, of which only a replay knows: in recordings, the five
  /// pages that RCU has in stock, once.
  ///
  /// They do not count as reclaimed, as they are no slab pages.
  /// Kernel: `shrink_slab()`, `kfree_rcu_shrink_scan()`.
  mutating func runShrinkers() {
    if foreign.shrunk.isEmpty { return }
    let pages = foreign.shrunk
    let countdown = foreign.countdown
    foreign.shrunk = []
    foreign.countdown = 0
    for block in pages { try? freePages(block.pfn, order: block.order) }
    foreign.countdown = countdown
  }

  /// Takes back that an allocation was counted: what it frees and allocates on its way comes before it.
  ///
  /// - Returns: Whether it must be counted again when it is done.
  mutating func postponeForeign() -> Bool {
    guard foreign.next < foreign.requests.count, !foreign.isPostponed else { return false }
    foreign.countdown += 1
    foreign.isPostponed = true
    return true
  }

  mutating func resumeForeign() {
    foreign.isPostponed = false
    serveForeign()
  }

  /// Lets a thread run, and goes on serving behind what it did.
  private mutating func serve(_ thread: BackgroundThread, at position: Int, isBefore: Bool) {
    // The event that is about to happen comes behind those of the thread.
    foreign.countdown =
      foreign.next < foreign.requests.count
      ? foreign.requests[foreign.next].position - position + 1 : 0
    _ = step(thread)
    if !isBefore { return serveForeign() }
    if foreign.countdown == 1 { serveDue(isBefore: true) }
  }

  private mutating func serve(_ request: ForeignRequest) {
    switch request.kind {
    case .thread(let thread, let shrunk):
      foreign.shrunk = shrunk
      _ = step(thread)
    case .kcompactd(let node, let scans):
      pauseKcompactd(node: node, afterScans: scans)
      _ = step(.kcompactd(node: node))
    case .endNap(let node): endNap(node: node)
    case .allocate(let gfp): _ = allocatePages(order: request.order, gfp: gfp)
    case .free(let pfn): try? freePages(pfn, order: request.order)
    case .freePastLists(let pfn): freePastLists(pfn, order: request.order)
    }
  }
}
