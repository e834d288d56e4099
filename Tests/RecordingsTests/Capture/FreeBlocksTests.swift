import MemoryModel
import Testing

@testable import Recordings

@Suite struct FreeBlocksTests {
  /// Invented places do not merge: the frames form the very blocks that were asked for.
  @Test func inventedBlocksStayApart() {
    var random = SplitMix64(seed: 11)
    for _ in 0..<50 {
      let start = 1 + random.below(300)
      let ranges = [PFNRange(start, start + 4096), PFNRange(8192, 16384)]
      let counts = (0...10).map { random.below(1 + 256 >> min($0, 8)) >> 2 }
      let (blocks, missing) = FreeBlocks.invented(counts, in: ranges)
      #expect(missing == 0 && blocks.counts == counts)
      var classes = PageClasses(count: 16384)
      for (order, starts) in blocks.starts.enumerated() {
        for start in starts { classes.fill(PFNRange(start, start + 1 << order), .buddy) }
      }
      #expect(FreeBlocks(classes, ranges, orderCount: 11).starts == blocks.starts)
    }
  }

  /// What does not fit is counted, not lost silently.
  @Test func tooManyBlocks() {
    let (blocks, missing) = FreeBlocks.invented([0, 0, 5], in: [PFNRange(0, 16)])
    #expect(blocks.counts == [0, 0, 4] && missing == 1)
  }

  /// ```
  /// 0123 4567 89ab cdef 0
  /// ...# #### #### #### #
  /// ```
  @Test func aRunFallsIntoItsAlignedBlocks() {
    var blocks: [String] = []
    FreeBlocks.forEachBlock(PFNRange(3, 17), maxOrder: 3) { blocks.append("\($0)/\($1)") }
    #expect(blocks == ["3/0", "4/2", "8/3", "16/0"])
  }
}
