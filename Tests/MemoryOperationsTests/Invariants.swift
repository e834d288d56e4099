import ModelTesting

@testable import MemoryModel
@testable import MemoryOperations

// The invariants that a state alone does not decide, or that older kernels break: I1, I2, I5, I6 for a
// test that knows what its machine was asked for. `check()` and `checkMemory()` have I3, I4, I8, I10,
// I11, I13, I15.

extension Machine {
  /// I1, I5 and I6: pins for long, NR_ISOLATED, and the counters of pins; nil when all hold.
  ///
  /// - Parameter held: What an operation under way holds.
  func brokenCount(_ held: Holdings = Holdings()) -> String? {
    var isolated = 0
    var at = 0
    while at < frames.count {
      let state = frames.head(PFN(at))
      if state.kind == .allocated, state.flags.contains([.folio, .isolated]),
        !state.flags.contains(.hugetlb)
      {
        isolated += 1 << state.order
      }
      at += state.kind == .none ? 1 : 1 << state.order
    }
    let counted =
      total(.isolatedAnon) + total(.isolatedFile)
    if counted != isolated {
      return "I5: NR_ISOLATED is \(counted), \(isolated) pages are isolated"
    }
    var pinned = held.pins.count { $0 != zeroPage }
    for pin in pins where pin.pages > 0 && !pin.isGet {
      forEachRun(pin) { first, pages in
        if pin.isPerFolio { pinned += 1 } else { pinned += first == zeroPage ? 0 : pages }
      }
    }
    let difference = total(.pinAcquired) - total(.pinReleased)
    if difference != pinned {
      return "I6: \(difference) pages were pinned and not given back, \(pinned) are pinned"
    }
    for pin in pins where pin.isLongTerm && !pin.isGet && pin.pages > 0 {
      var misplaced: PFN?
      forEachRun(pin) { first, pages in
        for pfn in first.index..<first.index + pages {
          let isMovable = frames.zone(of: PFN(pfn)).map { zone($0).index == .movable } ?? false
          if frames.migrateType(PFN(pfn)) == .cma || isMovable { misplaced = PFN(pfn) }
        }
      }
      if let misplaced { return "I1: \(misplaced) is pinned for long and may not be" }
    }
    return nil
  }

  /// I2 and I7: a pin names what its process shows, in order; nil when it does.
  ///
  /// Only for pins whose range nobody has unmapped or thrown away since.
  func brokenPin() -> String? {
    for pin in pins where pin.pages > 0 && pin.file == nil {
      var page = pin.startPage
      var broken: String?
      forEachRun(pin) { first, pages in
        for pfn in first.index..<first.index + pages {
          let shown = frame(pin.space, page: page)
          if shown != PFN(pfn) {
            broken =
              "I2: pin #\(pin.id) holds \(PFN(pfn)) for page \(page), which shows "
              + "\(shown.map { "\($0)" } ?? "nothing")"
          }
          page += 1
        }
      }
      if let broken { return broken }
    }
    return nil
  }
}
