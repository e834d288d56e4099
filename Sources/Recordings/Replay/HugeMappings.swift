internal import MemoryModel

/// The hugetlb mappings of the recorded task: which page lies where.
///
/// The recording shows no event when a page comes from the pool or goes back to it; the pages of
/// `pfns` records and the lists of later dumps tell whether the model took the right ones.
struct HugeMappings {
  struct Mapping {
    var start: Int
    /// Huge page by huge page; nil is promised and untouched.
    var pages: [PFN?]
  }

  private(set) var mappings: [Mapping] = []
  var isInUse: Bool { !mappings.isEmpty }

  /// 2 MiB.
  static let pageSize = 1 << 21
  /// More than any recorded task maps, in huge pages.
  private static let limit = 1 << 20

  /// Adds a mapping if the numbers are those of one.
  ///
  /// - Returns: Its length in huge pages, or nil.
  mutating func add(_ address: Int?, _ length: Int?) -> Int? {
    guard let address, let length, address >= 0, address < 1 << 47, address % Self.pageSize == 0,
      (1...Self.limit * Self.pageSize).contains(length), length % Self.pageSize == 0
    else { return nil }
    let count = length / Self.pageSize
    mappings.append(Mapping(start: address, pages: Array(repeating: nil, count: count)))
    return count
  }

  /// Where an address lies.
  func place(_ address: Int) -> (mapping: Int, page: Int)? {
    for (index, mapping) in mappings.enumerated() where address >= mapping.start {
      let page = (address - mapping.start) / Self.pageSize
      if page < mapping.pages.count { return (index, page) }
    }
    return nil
  }

  subscript(place: (mapping: Int, page: Int)) -> PFN? {
    get { mappings[place.mapping].pages[place.page] }
    set { mappings[place.mapping].pages[place.page] = newValue }
  }

  /// Removes the mapping that starts at `address`.
  mutating func remove(_ address: Int?) -> Mapping? {
    guard let index = mappings.firstIndex(where: { $0.start == address }) else { return nil }
    return mappings.remove(at: index)
  }
}
