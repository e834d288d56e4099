// References that somebody takes for a while, with a record of who (`why` reads it), and the
// isolation of a folio by somebody who is not migrating it.

extension Machine {
  /// Numbers the next operation of a user; holders say since which one they hold.
  package mutating func beginOperation() { operation += 1 }

  /// Takes a plain reference to the folio of a page, as a lookup or a direct I/O does (rule P9.32).
  ///
  /// Kernel: `folio_try_get()`.
  ///
  /// - Returns: The reference's number, or nil when nobody holds the page.
  package mutating func takeTemporaryReference(_ page: PFN, holder: String) -> Int? {
    guard let folio = folio(of: page) else { return nil }
    addReferences(folio, 1)
    return record(page, holder, isIsolation: false)
  }

  /// Takes a folio off its LRU list and keeps it, as a reclaim or compaction that got no further
  /// does.
  ///
  /// Kernel: `folio_isolate_lru()` (rule P1.30).
  ///
  /// - Returns: Its number; EINVAL for a page that is no folio, EBUSY for one that is on no list.
  package mutating func isolate(_ page: PFN, holder: String) -> Result<Int, Refusal> {
    guard let folio = folio(of: page) else {
      return .failure(
        Refusal(.EINVAL, "\(page) is not allocated: it is on no LRU list", rule: "P1.30"))
    }
    guard isolateLRU(folio) else {
      let batch = batchesHolding(folio.head).first
      let place =
        if let batch {
          "it waits in the \(batch.kind.name) batch of CPU \(batch.cpu)"
        } else if frames.head(folio.head).flags.contains(.isolated) {
          "it is isolated already"
        } else {
          "it is on no LRU list"
        }
      return .failure(
        Refusal(.EBUSY, "the folio at \(folio.head) cannot be isolated: \(place)", rule: "P1.30"))
    }
    countIsolated(folio, 1)
    return .success(record(folio.head, holder, isIsolation: true))
  }

  private mutating func record(_ page: PFN, _ holder: String, isIsolation: Bool) -> Int {
    lastTemporaryReference += 1
    var reference = TemporaryReference(
      id: lastTemporaryReference, page: page, holder: holder, operation: operation)
    reference.isIsolation = isIsolation
    temporaryReferences.append(reference)
    return lastTemporaryReference
  }

  public func temporaryReference(_ id: Int) -> TemporaryReference? {
    temporaryReferences.first { $0.id == id }
  }

  /// Gives a reference back, and queues an isolated folio for its list again (rule P1.32); false
  /// when it is gone already.
  @discardableResult
  package mutating func putTemporaryReference(_ id: Int) -> Bool {
    guard let index = temporaryReferences.firstIndex(where: { $0.id == id }) else { return false }
    let reference = temporaryReferences.remove(at: index)
    guard let folio = folio(of: reference.page) else { return true }
    if reference.isIsolation {
      countIsolated(folio, -1)
      putBackLRU(folio)
    } else {
      putReferences(folio, 1)
    }
    return true
  }
}
