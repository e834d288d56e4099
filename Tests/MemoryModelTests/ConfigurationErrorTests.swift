import GoldenTesting
import MemoryModel
import ModelTesting
import Testing

/// What no machine can be: every refusal names the thing, its value and the fix.
@Suite struct ConfigurationErrorTests {
  private static let mib = 1 << 20

  /// A sound machine, of 64 MiB unless said otherwise, with one thing wrong.
  private func message(
    bytes: [Int] = [64 * mib], _ change: (inout MachineConfiguration) -> Void = { _ in }
  ) -> String {
    var configuration = MachineConfiguration()
    do throws(MemoryError) {
      try configuration.layOut(bytesPerNode: bytes)
      change(&configuration)
      let machine = try Machine.boot(configuration)
      return "accepted: \(machine.nodeCount) nodes"
    } catch {
      #expect(error.code == .configuration)
      return error.message
    }
  }

  @Test("Bad configurations are refused in words")
  func texts() {
    let cases: [(String, String)] = [
      ("ram = 16 TiB", message(bytes: [16 << 40])),
      ("ram = 32 KiB", message(bytes: [32 << 10])),
      ("no nodes", message(bytes: [])),
      ("a middle node of 4 KiB", message(bytes: [32 * Self.mib, 4096, 32 * Self.mib])),
      ("nodes = {}", message { $0.nodes = [] }),
      ("node without memory", message { $0.nodes.append(.init(memory: [])) }),
      ("node of an empty range", message { $0.nodes = [.init(memory: [PFNRange(9, 9)])] }),
      (
        "33 nodes",
        message {
          $0.nodes = (0..<33).map { .init(memory: [PFNRange($0 << 10, ($0 + 1) << 10)]) }
        }
      ),
      ("cpus = 0", message { $0.cpuNodes = [] }),
      ("cpus = 257", message { $0.cpuNodes = Array(repeating: 0, count: 257) }),
      ("CPU on node 1 of 1", message { $0.cpuNodes = [0, 1] }),
      ("CPU on node -1", message { $0.cpuNodes = [-1] }),
      ("kernelcore = 101%", message { $0.kernelcore = .percent(101) }),
      ("movablecore = -1%", message { $0.movablecore = .percent(-1) }),
      ("min_free_kbytes = -1", message { $0.minFreeKbytes = -1 }),
      ("distances of the wrong shape", message { $0.distances = [[10, 20]] }),
      (
        "CMA without CONFIG_CMA",
        message {
          $0.hasCMA = false
          $0.cmaAreas = [.init(name: "reserved", pages: 512)]
        }
      ),
      (
        "CMA off a pageblock border",
        message { $0.cmaAreas = [.init(name: "dev", pages: 512, base: 0x2100)] }
      ),
      (
        "CMA outside of memory",
        message { $0.cmaAreas = [.init(name: "dev", pages: 512, base: 0x8000)] }
      ),
      (
        "two CMA areas at one place",
        message {
          $0.cmaAreas = [
            .init(name: "one", pages: 1024, base: 0x2000),
            .init(name: "two", pages: 512, base: 0x2200),
          ]
        }
      ),
      ("CMA larger than memory", message { $0.cmaAreas = [.init(name: "big", pages: 1 << 20)] }),
      (
        "CMA across a zone border",
        message { $0.cmaAreas = [.init(name: "dev", pages: 1024, base: 0xE00)] }
      ),
    ]
    expectGolden(
      cases.map { "\($0):\n  \($1)\n" }.joined(separator: "\n"), "configuration-errors")
  }

  @Test("A state that cannot be is refused in words")
  func images() {
    func message(_ change: (inout MachineImage) -> Void) -> String {
      var image = MachineImage.single(pages: 2048)
      change(&image)
      do throws(MemoryError) {
        let machine = try Machine.restore(image)
        return "accepted: \(machine.zoneCount) zones"
      } catch {
        #expect(error.code == .configuration)
        return error.message
      }
    }
    let cases: [(String, String)] = [
      (
        "a block on two lists", message { $0.zones[0].freeLists[10][.unmovable] = [4096] }
      ),
      (
        "a block twice on one list", message { $0.zones[0].freeLists[10][.movable] = [4096, 4096] }
      ),
      ("a misaligned block", message { $0.zones[0].freeLists[3][.movable] = [4100] }),
      ("a block outside of its zone", message { $0.zones[0].freeLists[3][.movable] = [8] }),
      ("a block behind all memory", message { $0.zones[0].freeLists[3][.movable] = [1 << 20] }),
      ("a negative pfn", message { $0.zones[0].freeLists[3][.movable] = [-8] }),
      (
        "free and on a per-CPU list", message { $0.zones[0].perCPU[0].lists[13] = [4096] }
      ),
      ("a per-CPU list that is not there", message { $0.zones[0].perCPU[0].lists[14] = [4096] }),
      (
        "free and allocated",
        message {
          $0.allocations = [
            .init(pfn: 4096, order: 0, owner: 0, isLRU: false, isDriverMovable: false)
          ]
        }
      ),
      ("a pageblock outside of memory", message { $0.zones[0].pageblocks = [(1 << 20, 1, .cma)] }),
      ("a zone that ends behind memory", message { $0.zones[0].spanned = 1 << 20 }),
    ]
    expectGolden(
      cases.map { "\($0):\n  \($1)\n" }.joined(separator: "\n"), "image-errors")
  }
}
