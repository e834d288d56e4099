extension Machine {
  static func compactGap(_ order: Int) -> Int { 2 << order }
  static let costlyOrder = 3
  func isCompactionSuitable(_ zone: Int, order: Int, highest: ZoneIndex) -> Bool { false }
  mutating func clearSkipHints(node: Int) {}
  mutating func wakeKcompactd(node: Int, order: Int, highest: ZoneIndex) {}
  func reclaimablePages(_ zone: Int) -> Int {
    let items = zone * VMStatNames.zoneItems.count
    let pages = zoneItems[items + 3] + zoneItems[items + 4]
    return pages > 0 ? pages : freePagesSnapshot(zone)
  }
}
