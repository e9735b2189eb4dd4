# How many events a second stages pass on, beside the gen_stage library in the same VM.
#
# GEN_STAGE_PATH names a checkout of the library; it is compiled into a folder that is thrown away. Rounds of the two
# alternate, and a row's ratio is the median of the ratios of its rounds. A row under 1.0 is measured again, in three
# VMs of its own: where a VM happens to place processes and their heaps is worth a tenth to one library or the other,
# and stays as it is as long as the VM runs. Its ratio is then the median of those. `--only WORD` takes the rows whose
# name has the word in it, `--row NAME` the one of this name and nothing again.
#
# Three shapes come last, which are no part of the means: `sharing` and `idle` are the stock library's memory over ours, and
# `subscribers` its time, as the geometric mean of the three dispatchers.

Code.require_file("support.exs", __DIR__)
for file <- ~w(events flow buffer shapes), do: Code.require_file("stages_support/#{file}.exs", __DIR__)

defmodule Stages do
  @penstock %{
    stage: Penstock.Stage,
    demand: Penstock.DemandDispatcher,
    broadcast: Penstock.BroadcastDispatcher,
    partition: Penstock.PartitionDispatcher
  }
  @stock %{
    stage: GenStage,
    demand: GenStage.DemandDispatcher,
    broadcast: GenStage.BroadcastDispatcher,
    partition: GenStage.PartitionDispatcher
  }

  def main(arguments) do
    strict = [quick: :boolean, only: :string, row: :string]
    {options, [], []} = OptionParser.parse(arguments, strict: strict)
    Logger.configure(level: :error)
    plan = plan(options[:quick] || false)
    stock? = compile_stock(System.get_env("GEN_STAGE_PATH"))

    unless stock?,
      do: IO.puts("GEN_STAGE_PATH names no checkout of gen_stage: Penstock's own figures, without ratios")

    rows = Enum.filter(rows(plan), &wanted?(&1.name, options))
    results = for row <- rows, do: row |> measure(plan, stock?) |> tap(&report/1)
    again? = stock? and options[:row] == nil
    figures(if again?, do: Enum.map(results, &again(&1, plan, options)), else: results)
    if options[:row] == nil, do: shapes(options, if(stock?, do: [@penstock, @stock], else: [@penstock]))
  end

  defp shapes(options, libraries) do
    {consumers, subscribers, rounds} = if options[:quick], do: {1000, 5000, 1}, else: {3000, 20_000, 3}

    if wanted?("sharing", options) or wanted?("idle", options) do
      for {name, bytes} <- Stages.Shapes.memory(libraries, consumers) do
        IO.puts("#{name}: #{Enum.join(bytes, " bytes, stock ")} bytes")
        with [ours, theirs] <- bytes, do: Bench.figure(name, theirs / ours)
      end
    end

    if wanted?("subscribers", options) do
      times = for _ <- 1..rounds, do: Enum.map(libraries, &Stages.Shapes.subscribers(&1, subscribers))
      for round <- times, do: IO.puts("subscribers: " <> Enum.map_join(round, ", stock ", &milliseconds/1))
      ratios = for [ours, theirs] <- times, do: geomean(Enum.zip_with(ours, theirs, &(&2 / &1)))
      if ratios != [], do: Bench.figure("subscribers", Bench.median(ratios))
    end
  end

  # By demand, broadcast and by partition.
  defp milliseconds(times), do: Enum.map_join(times, " ", &"#{decimals(&1 / 1_000_000)} ms")

  defp wanted?(name, options) do
    case {options[:row], options[:only]} do
      {nil, nil} -> true
      {nil, word} -> name =~ word
      {row, _word} -> name == row
    end
  end

  # `slice` is how long one measurement takes, about, in ms; `until` is when nothing is repeated any more, in s.
  defp plan(true) do
    %{
      kinds: [:int, :struct],
      demands: [1, 10, 1000],
      chain: [10, 1000],
      buffers: [{:int, 10_000}, {:struct, 10_000}, {:struct, 1_000_000}],
      rounds: 5,
      large_rounds: 3,
      slice: 12,
      began: now(),
      until: 30
    }
  end

  defp plan(false) do
    %{
      kinds: Stages.Events.kinds(),
      demands: [1, 10, 100, 1000, 10_000],
      chain: [1, 10, 100, 1000, 10_000],
      buffers: for(size <- [10_000, 1_000_000], kind <- Stages.Events.kinds(), do: {kind, size}),
      rounds: 7,
      large_rounds: 5,
      slice: 40,
      began: now(),
      until: 900
    }
  end

  defp now, do: System.monotonic_time(:second)

  defp rows(plan) do
    flows =
      for dispatcher <- [:demand, :broadcast, :partition],
          consumers <- [1, 4],
          kind <- plan.kinds,
          max_demand <- plan.demands,
          do: flow(kind, max_demand, consumers, dispatcher, false)

    chains = for kind <- plan.kinds, max_demand <- plan.chain, do: flow(kind, max_demand, 1, :demand, true)

    buffers =
      for {kind, size} <- plan.buffers,
          do: %{type: :buffer, shape: "buffer", kind: kind, size: size, name: "buffer #{size} #{kind}"}

    flows ++ chains ++ buffers
  end

  defp flow(kind, max_demand, consumers, dispatcher, chain?) do
    shape = if chain?, do: "chain", else: "#{dispatcher} x#{consumers}"

    %{
      type: :flow,
      shape: shape,
      name: "#{shape} #{kind} #{max_demand}",
      kind: kind,
      max_demand: max_demand,
      consumers: consumers,
      dispatcher: dispatcher,
      chain: chain?
    }
  end

  defp measure(row, plan, stock?) do
    libraries = if stock?, do: [@penstock, @stock], else: [@penstock]
    goal = goal(row, List.last(libraries), plan)
    unless large?(row), do: Enum.each(libraries, &once(row, &1, goal))
    rounds(%{row: row, goal: goal, rounds: [], again: []}, libraries, rounds_of(row, plan.rounds, plan))
  end

  # A million events take seconds, ten thousand a few ms. What such a row warms up by is the one of its kind before it.
  defp large?(row), do: row[:size] == 1_000_000

  defp rounds_of(row, rounds, plan) do
    cond do
      large?(row) -> plan.large_rounds
      row.type == :buffer -> 4 * rounds
      true -> rounds
    end
  end

  # As many events as the slower of the two, most likely, needs the slice for.
  defp goal(%{type: :buffer, size: size}, _library, _plan), do: size

  defp goal(row, library, plan) do
    probe = max(20 * row.max_demand, 1000)
    once(row, library, probe)
    took = once(row, library, probe).time
    max(probe, div(probe * plan.slice * 1_000_000, took))
  end

  defp rounds(result, libraries, n) do
    more =
      for round <- 1..n do
        order = if rem(round, 2) == 0, do: libraries, else: Enum.reverse(libraries)
        Map.new(order, &{&1.stage, once(result.row, &1, result.goal)})
      end

    %{result | rounds: result.rounds ++ more}
  end

  defp once(%{type: :buffer} = row, library, _goal), do: Stages.Buffer.time(row, library)
  defp once(%{type: :flow} = row, library, goal), do: %{time: Stages.Flow.time(row, library, goal)}

  defp again(result, plan, options) do
    if ratio(result) < 1.0 and now() - plan.began < plan.until do
      quick = if options[:quick], do: ["--quick"], else: []
      again = for _ <- 1..3, do: elsewhere(result.row.name, quick)
      tap(%{result | again: again}, &IO.puts("#{&1.row.name}: #{Enum.join(again, ", ")} in VMs of its own"))
    else
      result
    end
  end

  # The ratio of a row in a VM of its own, which is started as this one was.
  defp elsewhere(name, quick) do
    arguments = ["run", "--no-compile", "bench/stages.exs", "--row", name] ++ quick
    {output, 0} = System.cmd("mix", arguments)
    [_, ratio] = Regex.run(~r/^figure worst (.*)$/m, output)
    String.to_float(ratio)
  end

  defp ratio(%{again: [_ | _] = again}), do: Bench.median(again)

  defp ratio(%{rounds: rounds}),
    do: Bench.median(for round <- rounds, do: round[GenStage].time / round[Penstock.Stage].time)

  defp report(%{row: row, rounds: rounds} = result) do
    [ours, theirs] = for stage <- [Penstock.Stage, GenStage], do: rate(result, stage)
    ratio = if theirs, do: " ratio #{decimals(ratio(result))}", else: ""
    pauses = if row.type == :buffer, do: pauses(rounds), else: ""
    IO.puts(String.pad_trailing(row.name, 32) <> columns(ours, theirs) <> ratio <> pauses)
  end

  defp columns(ours, nil), do: "#{millions(ours)}M/s"
  defp columns(ours, theirs), do: "#{millions(ours)}M/s, stock #{millions(theirs)}M/s,"

  defp rate(%{goal: goal, rounds: [first | _] = rounds}, stage) do
    if first[stage], do: goal * 1.0e9 / Bench.median(for(round <- rounds, do: round[stage].time))
  end

  defp pauses(rounds) do
    for {stage, name} <- [{Penstock.Stage, "pause"}, {GenStage, "stock's"}], hd(rounds)[stage], into: "" do
      heap = Bench.median(for round <- rounds, do: round[stage].heap)
      ", #{name} #{decimals(pause(rounds, stage))} ms, heap #{decimals(heap / 1_000_000)} MB"
    end
  end

  # The longest of the calmest round: a pause of the producer's own making comes in all of them, one that other
  # programs on the machine make does not.
  defp pause(rounds, stage), do: Enum.min(for round <- rounds, do: round[stage].pause / 1_000_000)

  defp figures(results) do
    ratios = for %{rounds: [%{GenStage => _} | _]} = result <- results, do: {result.row.shape, ratio(result)}

    if ratios != [] do
      for {shape, _} <- Enum.uniq_by(ratios, &elem(&1, 0)),
          do:
            Bench.figure(
              "geomean_" <> String.replace(shape, " ", "_"),
              geomean(for {^shape, r} <- ratios, do: r)
            )

      ratios = Enum.map(ratios, &elem(&1, 1))
      Bench.figure("geomean", geomean(ratios))
      Bench.figure("worst", Enum.min(ratios))
    end

    for %{row: %{type: :buffer, kind: :struct, size: 1_000_000}, rounds: rounds} <- results,
        do: Bench.figure("pause_1m_ms", pause(rounds, Penstock.Stage))
  end

  defp geomean(ratios), do: :math.exp(Enum.sum(Enum.map(ratios, &:math.log/1)) / length(ratios))
  defp millions(per_second), do: decimals(per_second / 1_000_000) |> String.pad_leading(7)
  defp decimals(number), do: :erlang.float_to_binary(number / 1, decimals: 2)

  defp compile_stock(unset) when unset in [nil, ""], do: false

  defp compile_stock(path) do
    into = Path.join(System.tmp_dir!(), "stock_stages_#{System.pid()}")
    File.mkdir_p!(into)

    try do
      files = Path.wildcard(Path.join(path, "lib/**/*.ex"))
      if files == [], do: raise("GEN_STAGE_PATH names no checkout of gen_stage: #{path}")
      {:ok, modules, _warnings} = Kernel.ParallelCompiler.compile_to_path(files, into)

      # from the files, as any library is: code compiled in memory is the same, but nobody need take that on trust
      true = Code.prepend_path(into)

      for module <- modules do
        :code.purge(module)
        {:module, ^module} = :code.load_file(module)
      end

      Code.ensure_loaded?(GenStage) || raise "there is no GenStage in #{path}"
    after
      File.rm_rf!(into)
    end
  end
end

Stages.main(System.argv())
