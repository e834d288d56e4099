import MemoryRender
import Testing

@Suite struct TextTests {
  @Test(arguments: [
    (0, "0 B"), (1, "1 B"), (1023, "1023 B"), (1024, "1 KiB"), (4096, "4 KiB"),
    (1536, "1.50 KiB"), (1_048_575, "1 MiB"), (2 << 20, "2 MiB"), (1_568_000_000, "1.46 GiB"),
    (23_500_000, "22.4 MiB"), (700 << 30 | 1, "700 GiB"), (1 << 40, "1 TiB"), (-4096, "-4 KiB"),
    (Int.max, "8192 PiB"), (1029, "1.00 KiB"),
  ])
  func sizes(_ bytes: Int, _ text: String) { #expect(formatSize(bytes) == text) }

  @Test func shares() {
    #expect(formatShare(1, of: 1000) == "<1 %")
    #expect(formatShare(999, of: 1000) == ">99 %")
    #expect(formatShare(71, of: 100) == "71 %")
    #expect(formatShare(0, of: 0) == "0 %")
  }

  @Test func table() {
    var table = TextTable([("zone", .left), ("free", .right), ("note", .left)])
    table.add(["DMA", "3840"])
    table.add(["Normal", "12", "nearly none"])
    #expect(
      table.text == """
        zone    free  note
        DMA     3840
        Normal    12  nearly none

        """)
    var bare = TextTable([("", .left), ("", .right)])
    bare.add(["a", "1"])
    #expect(bare.text == "a  1\n")
  }
}
