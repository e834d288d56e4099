import MemoryGuests
import MemoryModel
import Testing

/// Rules P7.50 and P7.51: what the pages of a guest of 300 GiB take in each form.
@Suite struct OutputTests {
  private func sizes(
    runs: Int, pages: Int, gap: Int, maximumSegment: Int
  ) -> [PinOutput.Format: PinOutput.Size] {
    var output = PinOutput(maximumSegment: maximumSegment)
    for run in 0..<runs {
      let first = PFN(run * (pages + gap))
      output.add(first, pages: pages, folio: first)
    }
    return Dictionary(uniqueKeysWithValues: output.sizes().map { ($0.format, $0) })
  }

  /// The middle column of the table in P7.50, and S1.17.
  @Test func hugePagesApart() throws {
    let sizes = sizes(runs: 153_600, pages: 512, gap: 512, maximumSegment: 2 << 20)
    #expect(sizes[.pages]?.bytes == 600 << 20)
    #expect(sizes[.scatterList]?.bytes == 4_915_200)
    #expect(sizes[.bioVector]?.bytes == 153_600 * 16)
    #expect(sizes[.pfnFlags]?.bytes == 600 << 20)
    #expect(sizes[.runs]?.bytes == 153_600 * 12)
    #expect(sizes[.folios]?.records == 153_600)
  }

  @Test func segmentsOf64KiB() {
    let sizes = sizes(runs: 300, pages: 1 << 18, gap: 0, maximumSegment: 64 << 10)
    #expect(sizes[.scatterList]?.bytes == 150 << 20)
    #expect(sizes[.runs]?.records == 1)
    #expect(sizes[.folios]?.records == 300)
  }

  /// A page of a chained scatter list has 128 records, of which all but the last page give one up.
  @Test(arguments: [(1, 1), (128, 128), (129, 130), (254, 255), (255, 256), (256, 258)])
  func chaining(segments: Int, records: Int) {
    let sizes = sizes(runs: segments, pages: 1, gap: 1, maximumSegment: 4096)
    #expect(sizes[.scatterList]?.records == segments)
    #expect(sizes[.scatterList]?.allocated == records * 32)
  }

  /// The estimate gives back what was measured, within a tenth.
  @Test func estimates() {
    var slow = OperationCosts()
    slow.walks = 1 << 20
    slow.entryReads = 4 << 20
    slow.pinAtomics = 1 << 20
    slow.arrayWrites = 1 << 20
    let perPage =
      Double(Calibration.linux6_12.estimate(slow, pages: 1 << 20, isFast: false))
      / Double(1 << 20)
    #expect(abs(perPage / (419.6 * 0.28) - 1) < 0.1)
    var fast = OperationCosts()
    fast.entryReads = 3 << 20
    fast.pinAtomics = 2 << 20
    fast.arrayWrites = 1 << 20
    fast.lookups = 1 << 20
    let fastPerPage =
      Double(Calibration.linux6_12.estimate(fast, pages: 1 << 20, isFast: true))
      / Double(1 << 20)
    #expect(abs(fastPerPage / (252.5 * 0.28) - 1) < 0.1)
  }
}
