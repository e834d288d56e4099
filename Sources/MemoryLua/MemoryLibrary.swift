public import LuaBridge

/// The Lua API of the model: every type and function, each declared once.
public enum MemoryLibrary {
  /// The library for one session.
  public static func library(_ context: MemoryContext) -> LuaLibrary {
    LuaLibrary(
      "pinlab", doc: "A model of the Linux memory manager.",
      types: [
        machineType(context), nodeType(), zoneType(), pageblockType(), pageType(),
        guestType(context), populationType(), pinType(), folioType(), temporaryReferenceType(),
        isolationType(), explanationType(), lruType(), listingType(),
        areaType(), bufferType(), fileType(), pressureType(), hashTableType(), kernelType(),
        deviceType(), mappingType(), comparisonType(context), taskType(), explorationType(),
        differenceType(), guestMemoryType(),
      ],
      functions: [
        machineFunction(context), kernelsFunction(), kernelFunction(context),
        compareFunction(context),
        sizeFunction(), expectFunction(context),
        stepFunction(context), exploreFunction(context), replayScheduleFunction(context),
      ],
      hexKeys: ["pfn", "pfns", "head", "base", "address", "start_pfn", "end_pfn"])
  }

  static func sizeFunction() -> LuaFunction {
    LuaFunction(
      "size", .positional, [LuaParameter("text", .size(), "A size such as \"1.5G\".")],
      returns: [LuaResult(.integer(), "Bytes.")],
      doc: "The bytes of a size. Units are powers of 1024: K, M, G, T, with or without iB.",
      example: "size\"1.5G\" --> 1610612736"
    ) { call in call.returns(call.integer(0)) }
  }

  static func expectFunction(_ context: MemoryContext) -> LuaFunction {
    LuaFunction(
      "expect", .positional,
      [
        LuaParameter("what", .string, "What is compared, in words."),
        LuaParameter("got", .any, "What came out."),
        LuaParameter("wanted", .any, "What ought to."),
      ],
      returns: [LuaResult(.boolean, "Whether they are the same.")],
      doc: """
        Prints what came out, and fails when it is not what was expected.

        For scenarios: a script with an expectation that fails ends with exit status 1. Under another \
        kernel, `pinlab scenarios run --kernel`, it only says so and returns false.
        """,
      example: "expect(\"pages of a huge page\", 1 << 9, 512) --> true"
    ) { call throws(LuaFailure) in
      let got = call.display(1)
      let wanted = call.display(2)
      guard got == wanted else {
        if context.isTrial {
          call.write("  ≠   \(call.string(0)): \(got), not \(wanted)\n")
          return call.returns(false)
        }
        throw LuaFailure("\(call.string(0)): expected \(wanted), got \(got)")
      }
      call.write("  ok  \(call.string(0)): \(got)\n")
      call.returns(true)
    }
  }
}
