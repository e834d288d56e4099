// Invariant: `countdown` is how many events of the allocator the running operation has still to cause
// until the next request is due; 0 or less when none is waiting.

/// What another task or an interrupt asks the allocator for in the middle of an operation.
///
/// A recorded machine does more than a model executes: its kernel needs slab pages, and interrupts
/// come. Their requests are known by their place among the events of an operation.
package struct ForeignRequest: Sendable, Equatable {
  package enum Kind: Sendable, Equatable {
    case allocate(GFPFlags)
    case free(PFN)
    /// kswapd gets to run, once, and its shrinkers free these pages.
    case kswapd(node: Int, slab: [PFN])
  }

  /// How many allocations, frees, and beginnings and ends of direct reclaim of the operation come
  /// before it.
  package let position: Int
  package let kind: Kind
  package let order: Int

  package init(position: Int, _ kind: Kind, order: Int) {
    self.position = position
    self.kind = kind
    self.order = order
  }
}

/// The requests that wait, in order.
struct ForeignRequests: Sendable {
  var requests: [ForeignRequest] = []
  var next = 0
  var countdown = 0
  /// Pages that the shrinkers of the next reclaim free.
  var slab: [PFN] = []
}

extension Machine {
  /// Announces the foreign requests of the operation that is about to run.
  package mutating func expectForeign(_ requests: [ForeignRequest]) {
    foreign = ForeignRequests(requests: requests)
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

  /// Called before each allocation, each free, and each beginning and end of direct reclaim.
  @inline(__always)
  mutating func serveForeign() {
    foreign.countdown &-= 1
    if foreign.countdown == 0 { serveDue() }
  }

  private mutating func serveDue() {
    let position = foreign.requests[foreign.next].position
    while foreign.next < foreign.requests.count, foreign.requests[foreign.next].position == position
    {
      let request = foreign.requests[foreign.next]
      foreign.next += 1
      // Its own events are not the operation's.
      foreign.countdown = 0
      serve(request)
    }
    foreign.countdown =
      foreign.next < foreign.requests.count
      ? foreign.requests[foreign.next].position - position : 0
  }

  private mutating func serve(_ request: ForeignRequest) {
    switch request.kind {
    case .allocate(let gfp): _ = allocatePages(order: request.order, gfp: gfp)
    case .free(let pfn): try? freePages(pfn, order: request.order)
    case .kswapd(let node, let slab): runRecordedKswapd(node: node, slab: slab)
    }
  }
}
