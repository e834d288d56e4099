public import MemoryModel

extension ProcText {
  /// /proc/buddyinfo: free blocks of each order, all types together.
  ///
  /// Rule A8.1. Kernel: `frag_show_print()`, mm/vmstat.c.
  public static func buddyinfo(_ machine: borrowing Machine) -> String {
    var text = ""
    for id in machine.populatedZones {
      let zone = machine.zone(id)
      text += "Node \(zone.node), zone \(zone.index.name.padded(left: 8)) "
      for order in 0...machine.geometry.maxOrder {
        text += zone.freeCounts[order].padded(6) + " "
      }
      text += "\n"
    }
    return text
  }
}
