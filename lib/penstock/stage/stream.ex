defmodule Penstock.Stage.Stream do
  @moduledoc false
  # Producers as a stream: the process that enumerates plays the consumer. A tag is a tuple of a key, which is
  # the stream's own, and a reference, so that every message of a stream can be told from the others in
  # the mailbox and none is left there.

  alias Penstock.Stage
  alias Penstock.Stage.{Options, Source, StreamWatcher}
  alias __MODULE__, as: Open

  @enforce_keys [:watcher, :key, :mode]
  defstruct [:watcher, :key, :mode, :batch, :exit, sources: %{}]

  @spec build([Stage.stage() | {Stage.stage(), keyword}], keyword) :: Enumerable.t()
  def build(subscriptions, options) do
    entries = Enum.map(subscriptions, &entry!/1)
    %{demand: mode, producers: producers} = settings!(options)
    Stream.resource(fn -> open(entries, mode, producers) end, &next/1, &close/1)
  end

  defp entry!({to, options}) when is_list(options) do
    case Options.subscribed(options) do
      {:ok, cancel, min, max} -> {to, cancel, {max, min, max}, options}
      {:error, message} -> raise ArgumentError, "invalid options for #{inspect(to)} producer (#{message})"
    end
  end

  defp entry!(to), do: entry!({to, []})

  defp settings!(options) do
    case Options.take(options, Options.stream()) do
      {:ok, settings, _options} -> settings
      {:error, message} -> raise ArgumentError, message
    end
  end

  defp open(entries, mode, producers) do
    {watcher, key} = StreamWatcher.start()

    case StreamWatcher.subscribe(watcher, key, entries) do
      {:ok, sources} ->
        set_demand(producers || producers(sources), mode)
        %Open{watcher: watcher, key: key, mode: mode, sources: sources}

      {:error, reason} ->
        exit(reason)
    end
  end

  defp producers(sources), do: for({_ref, {producer, _cancel, _flow}} <- sources, do: producer)
  defp set_demand(producers, mode), do: Enum.each(producers, &Stage.demand(&1, mode))

  defp next(%Open{batch: nil} = open), do: await(open)

  # The batch before has been used up: now its part of the demand is renewed.
  defp next(%Open{batch: {from, ask, later, size, owed}} = open) do
    Stage.ask(from, ask, [:noconnect])
    open = %{open | batch: nil}
    if size == 0, do: await(open), else: cut(later, size, owed, from, open)
  end

  defp cut(events, size, owed, {_pid, {_key, ref}} = from, %Open{sources: sources} = open) do
    {producer, cancel, flow} = Map.fetch!(sources, ref)
    {count, ask, owed, flow} = Source.batch(size, owed, flow, from)
    {now, later} = Enum.split(events, count)
    sources = %{sources | ref => {producer, cancel, flow}}
    {now, %{open | sources: sources, batch: {from, ask, later, size - count, owed}}}
  end

  defp await(%Open{sources: sources} = open) when map_size(sources) == 0, do: {:halt, open}

  defp await(%Open{key: key, sources: sources} = open) do
    receive do
      {:"$gen_consumer", {_pid, {^key, _ref}} = from, events} when is_list(events) ->
        take(events, from, open)

      {:"$gen_consumer", {_pid, {^key, ref}}, {:cancel, reason}} ->
        lose(ref, reason, open)

      {^key, {:down, ref, reason}} ->
        lose(ref, reason, open)

      {:DOWN, ^key, _, _, reason} ->
        {:halt, %{open | exit: {:exit, reason}}}

      {:"$gen_cast", {:"$subscribe", nil, to, options}} ->
        case StreamWatcher.subscribe(open.watcher, key, [entry!({to, options})]) do
          {:ok, more} ->
            set_demand(producers(more), open.mode)
            await(%{open | sources: Map.merge(sources, more)})

          {:error, reason} ->
            {:halt, %{open | exit: {:exit, reason}}}
        end
    end
  end

  defp take([], _from, open), do: await(open)

  defp take(events, {pid, {_key, ref}} = from, %Open{sources: sources} = open) do
    case sources do
      %{^ref => {_producer, _cancel, {demand, _min, _max}}} ->
        cut(events, length(events), demand, from, open)

      %{} ->
        Stage.cancel({pid, elem(from, 1)}, :unknown_subscription, [:noconnect])
        await(open)
    end
  end

  defp lose(ref, reason, %Open{sources: sources} = open) do
    case Map.pop(sources, ref) do
      {nil, _sources} ->
        await(open)

      {{_producer, cancel, _flow}, sources} ->
        open = %{open | sources: sources}
        if Source.fatal?(cancel, reason), do: {:halt, %{open | exit: {:exit, reason}}}, else: await(open)
    end
  end

  defp close(%Open{key: key, sources: sources} = open) do
    # with monitors of its own, for the watcher may be what has ended
    waiting =
      Map.new(sources, fn {ref, {producer, _cancel, _flow}} ->
        monitor = Process.monitor(producer)
        Stage.cancel({producer, {key, ref}}, :normal, [:noconnect])
        {ref, monitor}
      end)

    confirm(waiting, key)
    StreamWatcher.stop(open.watcher, key)
    flush(key)

    case open.exit do
      nil -> :ok
      {:exit, reason} -> exit({reason, {Stage, :close_stream, [sources]}})
    end
  end

  defp confirm(waiting, key) do
    Enum.each(waiting, fn {ref, monitor} ->
      receive do
        {:"$gen_consumer", {_pid, {^key, ^ref}}, {:cancel, _reason}} -> Process.demonitor(monitor, [:flush])
        {:DOWN, ^monitor, _, _, _reason} -> :ok
      end
    end)
  end

  defp flush(key) do
    receive do
      {:"$gen_consumer", {_pid, {^key, _ref}}, _content} -> flush(key)
    after
      0 -> :ok
    end
  end
end
