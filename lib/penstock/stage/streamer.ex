defmodule Penstock.Stage.Streamer do
  @moduledoc false
  # An enumerable as a producer: takes as many items as are asked for, and ends with them.

  use Penstock.Stage

  require Logger

  alias Penstock.Stage
  alias Penstock.Stage.{Loop, Options}
  alias __MODULE__

  @enforce_keys [:next, :started_at]
  defstruct [:next, :started_at, consumers: :unwatched]

  @doc "As `Penstock.Stage.from_enumerable/2`."
  @spec start(Enumerable.t(), keyword) :: GenServer.on_start()
  def start(enumerable, options) do
    case Options.take(options, Options.from_enumerable()) do
      {:ok, %{link: link?, stacktrace: stacktrace}, options} ->
        argument = {enumerable, stacktrace || stacktrace(), options}
        Loop.start(if(link?, do: :link, else: :nolink), {Streamer, argument}, options)

      {:error, message} ->
        raise ArgumentError, message
    end
  end

  # Of whoever has called the function that `start/2` is the end of.
  defp stacktrace do
    {:current_stacktrace, [_info, _here, _start | stacktrace]} = Process.info(self(), :current_stacktrace)

    stacktrace
  end

  @impl Stage
  def init({enumerable, started_at, options}) do
    with {:ok, %{on_cancel: on_cancel}, options} <- Options.take(options, Options.streamer()) do
      consumers = if on_cancel == :stop, do: MapSet.new(), else: :unwatched
      streamer = %Streamer{next: suspended(enumerable), started_at: started_at, consumers: consumers}
      {:producer, streamer, Keyword.take(options, [:dispatcher, :demand])}
    else
      {:error, message} -> {:stop, {:bad_opts, message}}
    end
  end

  defp suspended(enumerable) do
    &Enumerable.reduce(enumerable, &1, fn
      item, {1, items} -> {:suspend, {0, [item | items]}}
      item, {n, items} -> {:cont, {n - 1, [item | items]}}
    end)
  end

  @impl Stage
  def handle_demand(_n, %Streamer{next: :ended} = streamer), do: {:noreply, [], streamer}

  def handle_demand(n, %Streamer{next: next} = streamer) do
    case next.({:cont, {n, []}}) do
      {:suspended, {_n, items}, next} ->
        {:noreply, :lists.reverse(items), %{streamer | next: next}}

      {_done_or_halted, {_n, items}} ->
        # behind what may have to wait in the buffer
        Stage.async_info(self(), {Streamer, :ended})
        {:noreply, :lists.reverse(items), %{streamer | next: :ended}}
    end
  end

  @impl Stage
  def handle_subscribe(:consumer, _options, _from, %Streamer{consumers: :unwatched} = streamer),
    do: {:automatic, streamer}

  def handle_subscribe(:consumer, _options, {_pid, tag}, %Streamer{consumers: consumers} = streamer),
    do: {:automatic, %{streamer | consumers: MapSet.put(consumers, tag)}}

  @impl Stage
  def handle_cancel(_reason, _from, %Streamer{consumers: :unwatched} = streamer),
    do: {:noreply, [], streamer}

  def handle_cancel(_reason, {_pid, tag}, %Streamer{consumers: consumers} = streamer) do
    consumers = MapSet.delete(consumers, tag)
    streamer = %{streamer | consumers: consumers}
    if MapSet.size(consumers) == 0, do: {:stop, :normal, leave(streamer)}, else: {:noreply, [], streamer}
  end

  # An enumerable that is left in the middle gives back what it holds.
  defp leave(%Streamer{next: :ended} = streamer), do: streamer

  defp leave(%Streamer{next: next} = streamer) do
    next.({:halt, {0, []}})
    %{streamer | next: :ended}
  end

  @impl Stage
  def handle_info({Streamer, :ended}, streamer), do: {:stop, :normal, streamer}

  def handle_info(message, %Streamer{started_at: started_at} = streamer) do
    Logger.warning(
      "Undefined handle_info in #{inspect(Streamer)}, unhandled message: #{inspect(message)}\n" <>
        "The enumerable was started at:\n" <> Exception.format_stacktrace(started_at)
    )

    {:noreply, [], streamer}
  end
end
