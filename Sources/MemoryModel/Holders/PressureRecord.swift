/// Pages that somebody keeps to make memory scarce.
public struct PressureRecord: Sendable, Codable {
  public let id: Int
  public let gfp: GFPFlags
  /// Pages that were asked for.
  public let requested: Int
  /// The pages in the order in which they came.
  public package(set) var pages: [PFN] = []
  /// Why it has fewer than were asked for.
  public package(set) var refusal: Refusal?
  public let operation: Int
  /// What it took from others so far.
  public package(set) var effect = PressureEffect()
  /// What was counted when it began.
  var before: PressureEffect
  var killedBefore: Int
}

/// What became of other memory while pages were taken.
public struct PressureEffect: Sendable, Equatable, Codable {
  /// Pages of files, and of anonymous memory and shmem, that were reclaimed.
  public package(set) var files = 0
  public package(set) var anonymous = 0
  /// Pages that were written to swap space.
  public package(set) var swappedOut = 0
  /// Pages that reclaim looked at.
  public package(set) var scanned = 0
  /// Pages that pins hold now, and that reclaim therefore leaves alone (rule P9.1).
  public package(set) var pinned = 0
  /// Pages on the lists that could still be reclaimed, had they been idle: of files, and anonymous ones.
  public package(set) var leftFiles = 0
  public package(set) var leftAnonymous = 0
  /// The processes that were killed, in order.
  public package(set) var killed: [KilledProcess] = []
}

/// A process that the OOM killer chose, as it was then.
public struct KilledProcess: Sendable, Equatable, Codable {
  public let space: Int
  public let name: String
  public let resident: Int
  public let swapped: Int
  /// Pages that its pins held.
  public let pinned: Int
}

extension Machine {
  /// Starts a record without pages.
  package mutating func addPressure(pages: Int, gfp: GFPFlags) -> Int {
    lastPressure += 1
    pressures.append(
      PressureRecord(
        id: lastPressure, gfp: gfp, requested: pages, operation: operation,
        before: pressureCounts, killedBefore: killOrder.count))
    return lastPressure
  }

  private var pressureCounts: PressureEffect {
    var counts = PressureEffect()
    counts.files = event(.stealFile)
    counts.anonymous = event(.stealAnon)
    counts.swappedOut = event(.swapOut)
    counts.scanned = event(.scanFile) + event(.scanAnon)
    return counts
  }

  /// Notes what has become of other memory since a record began.
  package mutating func settlePressure(_ id: Int) {
    guard let index = pressures.firstIndex(where: { $0.id == id }) else { return }
    let before = pressures[index].before
    var effect = pressureCounts
    effect.files -= before.files
    effect.anonymous -= before.anonymous
    effect.swappedOut -= before.swappedOut
    effect.scanned -= before.scanned
    effect.pinned = pins.reduce(0) { $0 + $1.pages }
    func listed(_ list: LRUList) -> Int {
      (0..<nodeCount).reduce(0) {
        $0 + nodeItems[$1 * VMStatNames.nodeItems.count + list.rawValue]
      }
    }
    effect.leftFiles = listed(.inactiveFile) + listed(.activeFile)
    effect.leftAnonymous = listed(.inactiveAnon) + listed(.activeAnon)
    effect.killed = Array(killOrder.dropFirst(pressures[index].killedBefore))
    pressures[index].effect = effect
  }

  public func pressure(_ id: Int) -> PressureRecord? { pressures.first { $0.id == id } }

  /// Takes up to `count` more pages; false when no more are to be had.
  package mutating func press(_ id: Int, count: Int) -> Bool {
    guard let index = pressures.firstIndex(where: { $0.id == id }) else { return false }
    for _ in 0..<count {
      switch allocatePages(order: 0, gfp: pressures[index].gfp) {
      case .page(let pfn): pressures[index].pages.append(pfn)
      case .refused where isToStop: return true
      case .refused(let refusal):
        pressures[index].refusal = refusal
        return false
      }
    }
    return true
  }

  /// Gives all pages of a record back; false when it is gone already.
  @discardableResult
  public mutating func releasePressure(_ id: Int) -> Bool {
    guard let index = pressures.firstIndex(where: { $0.id == id }) else { return false }
    let record = pressures.remove(at: index)
    for pfn in record.pages { try? freePages(pfn, order: 0) }
    return true
  }
}
