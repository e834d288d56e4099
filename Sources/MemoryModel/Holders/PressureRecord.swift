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
}

extension Machine {
  /// Starts a record without pages.
  package mutating func addPressure(pages: Int, gfp: GFPFlags) -> Int {
    lastPressure += 1
    pressures.append(
      PressureRecord(id: lastPressure, gfp: gfp, requested: pages, operation: operation))
    return lastPressure
  }

  public func pressure(_ id: Int) -> PressureRecord? { pressures.first { $0.id == id } }

  /// Takes up to `count` more pages; false when no more are to be had.
  package mutating func press(_ id: Int, count: Int) -> Bool {
    guard let index = pressures.firstIndex(where: { $0.id == id }) else { return false }
    for _ in 0..<count {
      switch allocatePages(order: 0, gfp: pressures[index].gfp) {
      case .page(let pfn): pressures[index].pages.append(pfn)
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
