defmodule Penstock.Stage.WalkTest do
  # Real stages beside a naive model, over random walks: what the native core counts and what the stage keeps as lists
  # cannot part without a difference to be seen here.
  #
  # A walk that fails says its seed; PENSTOCK_WALK=SEED mix test test/penstock/stage/walk_test.exs takes it again, and
  # no other. PENSTOCK_WALKS is how many are taken of each dispatcher.
  use ExUnit.Case, async: true

  alias Penstock.{BroadcastDispatcher, DemandDispatcher, PartitionDispatcher, Stage, StageModel}

  @moduletag :capture_log

  @walks "PENSTOCK_WALKS" |> System.get_env("100") |> String.to_integer()
  @steps 40

  defmodule Source do
    use Stage

    def init({test, brings, options}), do: {:producer, {test, brings, 1}, options}

    def handle_demand(n, {test, brings, next}) do
      send(test, {:demanded, self(), n})
      fresh(brings.(n), {test, brings, next})
    end

    def handle_call({:emit, n}, _from, state) do
      {:noreply, events, state} = fresh(n, state)
      {:reply, :ok, events, state}
    end

    def handle_info({:note, message}, {test, _brings, _next} = state) do
      send(test, {:noted, self(), message})
      {:noreply, [], state}
    end

    def handle_info(_message, state), do: {:noreply, [], state}

    def handle_cancel({_kind, reason}, {_pid, tag}, {test, _brings, _next} = state) do
      send(test, {:cancelled, self(), tag, reason})
      {:noreply, [], state}
    end

    def format_discarded(n, {test, _brings, _next}) do
      send(test, {:discarded, self(), n})
      false
    end

    defp fresh(n, {test, brings, next}),
      do: {:noreply, Enum.to_list(next..(next + n - 1)//1), {test, brings, next + n}}
  end

  # A consumer that only keeps what it gets.
  defmodule Basket do
    def start(producer, tag), do: spawn(fn -> keep(producer, tag, []) end)

    defp keep(producer, tag, got) do
      receive do
        {:"$gen_consumer", {^producer, ^tag}, events} when is_list(events) ->
          keep(producer, tag, [events | got])

        {:got, from} ->
          send(from, {:got, self(), got |> Enum.reverse() |> Enum.concat()}) && keep(producer, tag, got)

        {:"$gen_consumer", {^producer, ^tag}, {:cancel, _reason}} ->
          keep(producer, tag, got)
      end
    end
  end

  for kind <- [:demand, :broadcast, :partition, :rate] do
    test "walks of a stage with the dispatcher #{kind} come to what the model says" do
      for seed <- seeds(unquote(kind)), do: replayed(unquote(kind), seed)
    end
  end

  defp seeds(kind) do
    case System.get_env("PENSTOCK_WALK") do
      nil ->
        from = ExUnit.configuration()[:seed] * 1000
        for n <- 1..@walks, do: "#{kind}-#{from + n}"

      seed ->
        if String.starts_with?(seed, "#{kind}-"), do: [seed], else: []
    end
  end

  defp replayed(kind, seed) do
    walk(kind, seed)
  rescue
    error in [ExUnit.AssertionError] ->
      message = "PENSTOCK_WALK=#{seed}: #{error.message}"
      reraise %{error | message: message}, __STACKTRACE__
  catch
    :exit, reason -> flunk("PENSTOCK_WALK=#{seed}: the stage ended: #{inspect(reason)}")
  end

  defp walk(kind, seed) do
    :rand.seed(:exsss, :erlang.phash2(seed, 4_294_967_296))
    {dispatcher, model} = dispatcher(kind)
    brings = Enum.random([fn _n -> 0 end, fn n -> n end, &div(&1 + 1, 2), &(&1 + rem(&1, 3))])
    limit = Enum.random([:infinity, 12])
    keep = Enum.random([:first, :last])
    options = [dispatcher: dispatcher, buffer_size: limit, buffer_keep: keep]
    {:ok, stage} = Stage.start(Source, {self(), brings, options})

    model = StageModel.new([brings: brings, limit: limit, keep: keep] ++ model)
    walk = %{kind: kind, stage: stage, model: model, baskets: %{}, next: 1, trail: []}
    walk = Enum.reduce(1..@steps, walk, fn _n, walk -> walk |> take(step(walk)) |> compare() end)
    walk |> take(:resume) |> compare() |> compare_events()

    Process.exit(stage, :kill)
    for {_key, pid} <- walk.baskets, do: Process.exit(pid, :kill)
  end

  defp dispatcher(:demand), do: {DemandDispatcher, dispatcher: :demand}
  defp dispatcher(:broadcast), do: {BroadcastDispatcher, dispatcher: :broadcast}

  # The interval is over when the walk says so.
  defp dispatcher(:rate) do
    n = Enum.random(1..9)
    {{DemandDispatcher, rate: {n, 3_600_000}}, dispatcher: {:rate, n}}
  end

  defp dispatcher(:partition) do
    count = Enum.random([1, 3, 20])
    consumers = Enum.random([1, 2])

    hash =
      Enum.random([nil, fn event -> if rem(event, 5) == 0, do: :none, else: {event, rem(event, count)} end])

    options = [partitions: count, consumers_per_partition: consumers] ++ if(hash, do: [hash: hash], else: [])

    {{PartitionDispatcher, options},
     dispatcher: {:partition, count, consumers}, partition_of: partition_of(hash)}
  end

  defp partition_of(nil), do: &:erlang.phash2/2

  defp partition_of(hash) do
    fn event, _count ->
      case hash.(event) do
        {^event, partition} -> partition
        :none -> :none
      end
    end
  end

  ## Steps

  defp step(%{model: model} = walk) do
    known = Map.keys(model.subscribers)

    case :rand.uniform(20) do
      n when n <= 3 -> {:subscribe, options(walk)}
      n when n <= 5 and known != [] -> {:end, Enum.random(known), Enum.random([:cancel, :kill])}
      n when n <= 12 and known != [] -> {:ask, Enum.random(known), Enum.random([1, 2, 5, 30])}
      n when n <= 16 -> {:emit, Enum.random([1, 2, 7, 40])}
      17 -> :note
      18 -> :pause
      19 -> :resume
      20 when walk.kind == :rate -> :tick
      _ -> {:ask, Enum.random([0 | known]), 3}
    end
  end

  defp options(%{kind: kind, model: model}) do
    filter = Enum.random([nil, nil, &(rem(&1, 3) != 0), &(rem(&1, 4) == 0 or rem(&1, 3) == 1), &fails/1])

    case kind do
      :broadcast -> [lag: Enum.random([:block, :block, :cancel, {:drop_oldest, Enum.random(1..8)}])]
      :partition -> [partition: :rand.uniform(elem(model.dispatcher, 1)) - 1]
      _ -> []
    end ++ if(filter, do: [filter: filter], else: [])
  end

  defp fails(event), do: rem(event, 17) != 0 || raise("an event that it does not bear")

  defp take(walk, step), do: step(step, %{walk | trail: [step | walk.trail]})

  defp step({:subscribe, options}, %{stage: stage, next: key} = walk) do
    pid = Basket.start(stage, key)
    send(stage, {:"$gen_producer", {pid, key}, {:subscribe, nil, options}})
    walk = %{walk | next: key + 1, baskets: Map.put(walk.baskets, key, pid)}
    model(walk, &StageModel.subscribe(&1, key, options))
  end

  defp step({:end, key, :cancel}, %{stage: stage} = walk) do
    send(stage, {:"$gen_producer", {walk.baskets[key], key}, {:cancel, :enough}})
    model(walk, &StageModel.cancel(&1, key, :enough))
  end

  # What a dead one got is lost with it, so that is looked at before.
  defp step({:end, key, :kill}, %{stage: stage} = walk) do
    same(walk, {:got, key}, got(walk, key), Map.get(walk.model.got, key, []))
    Process.exit(walk.baskets[key], :kill)
    assert_receive {:cancelled, ^stage, ^key, :killed}
    # for the comparison, as if it had not been looked for
    send(self(), {:cancelled, stage, key, :killed})
    model(walk, &StageModel.cancel(&1, key, :killed))
  end

  defp step({:ask, key, n}, %{stage: stage} = walk) do
    send(stage, {:"$gen_producer", {Map.get(walk.baskets, key, self()), key}, {:ask, n}})
    model(walk, &if(is_map_key(&1.subscribers, key), do: StageModel.ask(&1, key, n), else: &1))
  end

  defp step({:emit, n}, %{stage: stage} = walk) do
    :ok = Stage.call(stage, {:emit, n})
    model(walk, &StageModel.emit(&1, n))
  end

  defp step(:note, %{stage: stage, next: next} = walk) do
    :ok = Stage.sync_info(stage, {:note, next})
    model(%{walk | next: next + 1}, &StageModel.note(&1, next))
  end

  defp step(:pause, %{stage: stage} = walk) do
    :ok = Stage.pause(stage)
    model(walk, &StageModel.pause/1)
  end

  defp step(:resume, %{stage: stage} = walk) do
    :ok = Stage.resume(stage)
    model(walk, &StageModel.resume/1)
  end

  # The clock of the stage is put forward, and it is told what its timer would tell it.
  defp step(:tick, %{stage: stage, model: %{mode: :forward}} = walk) do
    counting? = :sys.get_state(stage).output.state.until != nil
    same(walk, :counting?, counting?, walk.model.left < elem(walk.model.dispatcher, 1))

    if counting? do
      :sys.replace_state(stage, fn state ->
        put_in(
          state,
          [:output, :state, :until] |> Enum.map(&Access.key!/1),
          System.monotonic_time(:millisecond)
        )
      end)

      send(stage, :"$penstock_flow")
      model(walk, &StageModel.tick/1)
    else
      walk
    end
  end

  defp step(:tick, walk), do: walk

  defp model(walk, step), do: %{walk | model: step.(walk.model)}

  ## Comparison

  # Waits until the stage has done all that it told itself to do.
  defp settle(stage) do
    %{output: output, paused: paused} = :sys.get_state(stage)
    if paused == nil and (output.flowing? or :expelled in Map.values(output.filters)), do: settle(stage)
  end

  defp compare(%{stage: stage, model: model} = walk) do
    settle(stage)
    info = Stage.info(stage)

    same(walk, :demand, info.demand, StageModel.demand(model))
    same(walk, :buffered, info.buffered, StageModel.buffered(model))
    same(walk, :held, info.held, StageModel.held(model))

    same(
      walk,
      :consumers,
      consumers(info),
      for({key, one} <- model.subscribers, do: {key, one.demand, asked(model, key)})
    )

    same(walk, :told, stage |> told() |> Enum.sort(), model |> expected() |> Enum.sort())
    same(walk, :queued, stage |> :sys.get_state() |> queued(), queued_in(model))
    %{walk | model: %{model | demanded: [], noted: [], cancelled: [], discarded: 0}}
  end

  defp consumers(info),
    do: Enum.sort(for one <- info.consumers, do: {one.tag, one.demand, one.asked_while_paused})

  defp asked(model, key), do: Enum.sum(for {^key, n} <- model.asks, do: n)

  # All that the stage has told the test since, whatever the order of different kinds.
  defp told(stage) do
    receive do
      {:demanded, ^stage, n} -> [{:demanded, n} | told(stage)]
      {:noted, ^stage, message} -> [{:noted, message} | told(stage)]
      {:cancelled, ^stage, key, {:filter_failed, _}} -> [{:cancelled, key, :filter_failed} | told(stage)]
      {:cancelled, ^stage, key, reason} -> [{:cancelled, key, reason} | told(stage)]
      {:discarded, ^stage, n} -> [{:discarded, n} | told(stage)]
      {:"$gen_consumer", {^stage, 0}, {:cancel, :unknown_subscription}} -> told(stage)
    after
      0 -> []
    end
    |> total()
  end

  # Events may be discarded at more than one go.
  defp total(told) do
    {discarded, others} = Enum.split_with(told, &match?({:discarded, _}, &1))
    others ++ for n <- [Enum.sum(for {_, n} <- discarded, do: n)], n > 0, do: {:discarded, n}
  end

  defp expected(model) do
    for(n <- model.demanded, do: {:demanded, n}) ++
      for(message <- model.noted, do: {:noted, message}) ++
      for({key, reason} <- model.cancelled, do: {:cancelled, key, reason}) ++
      for n <- [model.discarded], n > 0, do: {:discarded, n}
  end

  # What waits on the stage's heap for single consumers or partitions.
  defp queued(%{output: %{state: %{queues: queues}, dispatcher: dispatcher, subscribers: %{by_id: by_id}}}) do
    Enum.sort(
      for {id, queue} <- queues, {events, _none} = Stage.EventQueue.take(queue, 1_000_000), events != [] do
        {if(dispatcher == BroadcastDispatcher, do: elem(by_id[id], 1), else: id), events}
      end
    )
  end

  defp queued(_state), do: []

  defp queued_in(%{dispatcher: :broadcast} = model),
    do: Enum.sort(for {key, %{queue: [_ | _] = queue}} <- model.subscribers, do: {key, queue})

  defp queued_in(model) do
    for {partition, queue} <- Enum.sort(model.queues),
        events = for({:event, event} <- queue, do: event),
        events != [] do
      {partition, events}
    end
  end

  defp compare_events(%{model: model, baskets: baskets} = walk) do
    for {key, pid} <- baskets, Process.alive?(pid) do
      same(walk, {:got, key}, got(walk, key), Map.get(model.got, key, []))
    end

    walk
  end

  defp got(%{baskets: baskets}, key) do
    pid = Map.fetch!(baskets, key)
    send(pid, {:got, self()})
    assert_receive {:got, ^pid, got}
    got
  end

  defp same(_walk, _what, same, same), do: :ok

  defp same(walk, what, real, model) do
    flunk("""
    #{inspect(what)} is #{inspect(real)}, and by the model
    #{inspect(model)}
    after #{walk.trail |> Enum.reverse() |> inspect(limit: :infinity)}
    """)
  end
end
