defmodule Penstock.Soak.Damage.Store do
  @moduledoc false
  # A data folder with something of everything in it, what it must hold, and what it looked like at earlier times.

  import Penstock.Soak.Fault

  alias Penstock.EventStore
  alias Penstock.Soak.{Dice, Ledger, Rpc, ServerProcess, Writer}

  # What it takes for a part of it to be sealed, in appends of nearly the largest size.
  @large 90
  @large_bytes 900_000
  # How long the files of the log of a small one are, in bytes.
  @segments [4_096, 16_384, 65_536]
  # How many of them are sealed at least.
  @sealed 3

  @doc """
  Builds one: `%{folder:, older:, truth:, streams:}`, where older is a list of folders. A `:small` one has small
  parts of which some are sealed, a `:large` one has them as large as they are by default.
  """
  def build(root, size) do
    ledger = Ledger.new()
    folder = Path.join(root, "whole")
    streams = for number <- 1..Dice.between(2, 5), do: "stream-#{number}"
    lives = Dice.between(2, 4)

    {older, truths} =
      Enum.unzip(
        for life <- 1..lives do
          large = if size == :large, do: div(@large, lives), else: 0
          truth = live(folder, streams, ledger, life, large)
          copy = Path.join(root, "life-#{life}")
          File.cp_r!(folder, copy)
          {copy, truth}
        end
      )

    # The last copy is the folder as it is.
    %{folder: folder, older: Enum.drop(older, -1), truth: List.last(truths), streams: streams}
  end

  # One run of the server, ended in order or not. Small files of the log have it seal some.
  defp live(folder, streams, ledger, life, large) do
    arguments = if large == 0, do: ["--segment", "#{Dice.pick(@segments)}"], else: []
    {:ok, server} = ServerProcess.start(folder, arguments: arguments)
    {:ok, store} = EventStore.start_link(connection_string: "esdb://127.0.0.1:#{server.port}?tls=false")
    for turn <- 1..Dice.between(5, 60), do: act(store, server.port, streams, ledger, {life, turn})
    for _ <- 1..large//1, do: Writer.append(store, Dice.pick(streams), [large_event()], ledger)
    until_sealed(store, server.port, streams, ledger, {folder, life, 1_000})
    truth = read(store, server.port, streams)
    GenServer.stop(store)
    ServerProcess.stop(server, Dice.pick(["KILL", "TERM"]))
    truth
  end

  # A file of the log has its index once it is sealed.
  defp until_sealed(store, port, streams, ledger, {folder, life, turn}) do
    if length(Path.wildcard(Path.join(folder, "*.idx"))) < @sealed do
      act(store, port, streams, ledger, {life, turn})
      until_sealed(store, port, streams, ledger, {folder, life, turn + 1})
    end
  end

  defp large_event do
    Penstock.Event.new("Large", Dice.bytes(@large_bytes),
      id: Dice.uuid(),
      content_type: "application/octet-stream"
    )
  end

  defp act(store, port, streams, ledger, {life, turn}) do
    stream = Dice.pick(streams)

    case Dice.weigh(append: 90, metadata: 5, delete: 3, tombstone: 1) do
      :append ->
        Writer.append(store, stream, Writer.events("#{life}.#{turn}", 0, Dice.scale(1, 60)), ledger)

      :metadata ->
        metadata = Penstock.Event.new("$metadata", %{"$maxCount" => Dice.scale(10, 1_000)}, id: Dice.uuid())
        Writer.append(store, "$$" <> stream, [metadata], ledger)

      kind ->
        # Of streams of their own, so that the others can be written to whatever was thrown.
        gone = "#{kind}-#{life}-#{turn}"
        Writer.append(store, gone, Writer.events(gone, 0, Dice.between(1, 5)), ledger)
        :ok = Rpc.delete(port, gone, if(kind == :delete, do: :soft, else: :tombstone))
    end
  end

  @doc """
  All that a server holds: `$all`, and each stream as it is read by its name. What cannot be read is `{:error, text}`.
  """
  def read(store, port, streams) do
    %{all: all(port), streams: Map.new(streams, &{&1, stream(store, &1)})}
  end

  defp all(port) do
    case Rpc.read_all(port) do
      # What was appended since is no part of what must be held.
      {:ok, events} -> Enum.reject(events, &(&1.stream == "after"))
      {:error, {:status, trailers}} -> {:error, URI.decode(trailers["grpc-message"] || "")}
      {:error, other} -> {:error, inspect(other)}
    end
  end

  defp stream(store, name) do
    case EventStore.read(store, name, max_count: 100_000, json: :raw) do
      {:ok, events} -> Enum.map(events, &{Penstock.Event.revision(&1), &1.id, &1.type, &1.body})
      {:error, %{reason: reason}} when reason in [:stream_not_found, :stream_deleted] -> reason
      {:error, error} -> {:error, error.message}
    end
  end

  @doc "The texts with which reads were refused."
  def refusals(found), do: for({:error, text} <- [found.all | Map.values(found.streams)], do: text)

  @doc "Where what is held is not what it must be, as a sentence; nil if it is."
  def difference(truth, truth), do: nil

  def difference(found, truth) do
    streams =
      for {name, events} <- found.streams, not refused?(events), truth.streams[name] != events, do: name

    cond do
      streams != [] -> "#{hd(streams)} is #{other(found.streams[hd(streams)], truth.streams[hd(streams)])}"
      refused?(found.all) or found.all == truth.all -> nil
      true -> "$all is #{other(found.all, truth.all)}"
    end
  end

  @doc "The same, where the last events may be missing."
  def tail_lost(%{all: all}, truth) when is_list(all) do
    unless List.starts_with?(truth.all, all), do: "$all is #{other(all, truth.all)}"
  end

  def tail_lost(_refused, _truth), do: nil

  defp refused?(events), do: match?({:error, _}, events)

  defp other(found, truth) when is_list(found) and is_list(truth) do
    "#{length(found)} events where #{length(truth)} were; first #{brief(first_other(found, truth))}"
  end

  defp other(found, truth), do: brief({found, truth})

  defp first_other([same | found], [same | truth]), do: first_other(found, truth)
  defp first_other(found, truth), do: {List.first(found), List.first(truth)}
end
