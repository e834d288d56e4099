extension Machine {
  /// Takes a plain reference to the folio of a page, as a lookup or a direct I/O does (rule P9.32).
  ///
  /// - Returns: The reference's number, or nil when nobody holds the page.
  package mutating func takeTemporaryReference(_ page: PFN, holder: String) -> Int? {
    guard let folio = folio(of: page) else { return nil }
    addReferences(folio, 1)
    lastTemporaryReference += 1
    temporaryReferences.append(
      TemporaryReference(
        id: lastTemporaryReference, page: page, holder: holder, operation: operation))
    return lastTemporaryReference
  }

  /// Gives a reference back; false when it is gone already.
  @discardableResult
  package mutating func putTemporaryReference(_ id: Int) -> Bool {
    guard let index = temporaryReferences.firstIndex(where: { $0.id == id }) else { return false }
    let reference = temporaryReferences.remove(at: index)
    if let folio = folio(of: reference.page) { putReferences(folio, 1) }
    return true
  }
}
