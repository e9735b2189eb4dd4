defmodule Penstock.Producer.Hosted do
  @moduledoc false
  # A native producer whose events go through its own process, as callbacks of a GenStage producer: it takes as many as it
  # is asked for, when they are there, and returns them to whoever hosts it, which dispatches them. That is
  # `Penstock.Stage` for dispatchers that the core does not have, and may be any other.
  #
  # It never knows who gets the events, or when. What is true once all events before have been given out (a mark) is
  # therefore sent through the host, as a message that it hands on behind them; nothing more is taken before that
  # message has its place. And no demand is answered at once: a host that accumulates may hold back older events, and
  # comes to them after that demand.

  alias Penstock.{Native, Stage}
  alias Penstock.Producer.Taken

  @enforce_keys [:kind, :own, :native]
  defstruct [:kind, :own, :native, marks: :queue.new(), placing?: false]

  # `kind` is the module that users know, whose own state is `own`; `marks` are on their way through the host, the
  # oldest first; the latest may still be on its way to its place there.
  @type t :: %__MODULE__{
          kind: module,
          own: term,
          native: reference,
          marks: :queue.queue(Taken.mark()),
          placing?: boolean
        }

  @type step :: {:noreply, events :: [Penstock.Event.t()], t} | {:stop, reason :: term, t}

  @spec handle_demand(pos_integer, t) :: step
  def handle_demand(n, %__MODULE__{native: native} = hosted) do
    if Native.producer_want(native, n) == :more, do: send(self(), {:penstock, :ready})
    {:noreply, [], hosted}
  end

  @doc "What of a message is this producer's; `:unknown` is anybody else's."
  @spec handle_info(term, t) :: step | :unknown
  def handle_info({:penstock, :ready}, %__MODULE__{placing?: false, native: native} = hosted),
    do: native |> Taken.take() |> taken(hosted)

  # Behind what places the mark, which is in the mailbox already.
  def handle_info({:penstock, :ready} = message, hosted) do
    send(self(), message)
    {:noreply, [], hosted}
  end

  def handle_info({:penstock, :placed}, %__MODULE__{placing?: true} = hosted),
    do: {:noreply, [], %{hosted | placing?: false}}

  def handle_info({:penstock, :passed}, %__MODULE__{marks: marks} = hosted) do
    case :queue.out(marks) do
      {{:value, mark}, marks} ->
        with({:cont, hosted} <- reached(mark, %{hosted | marks: marks}), do: {:noreply, [], hosted})

      {:empty, _marks} ->
        :unknown
    end
  end

  def handle_info(_message, _hosted), do: :unknown

  @spec taken(Taken.t(), t) :: step
  defp taken(%Taken{events: events, notices: notices, marks: marks, more?: more?}, hosted) do
    with {:cont, hosted} <- each_reached(notices, hosted) do
      hosted = place(marks, hosted)
      if more?, do: send(self(), {:penstock, :ready})
      {:noreply, events, hosted}
    end
  end

  defp place([], hosted), do: hosted

  defp place(marks, hosted) do
    for _mark <- marks, do: Stage.async_info(self(), {:penstock, :passed})
    send(self(), {:penstock, :placed})
    %{hosted | marks: :queue.join(hosted.marks, :queue.from_list(marks)), placing?: true}
  end

  defp each_reached([], hosted), do: {:cont, hosted}

  defp each_reached([notice | notices], hosted),
    do: with({:cont, hosted} <- reached(notice, hosted), do: each_reached(notices, hosted))

  defp reached(mark, %__MODULE__{kind: kind, own: own} = hosted) do
    case kind.reached(mark, own) do
      {:cont, own} -> {:cont, %{hosted | own: own}}
      {:stop, reason, own} -> {:stop, reason, %{hosted | own: own}}
    end
  end

  @doc "What the native core tells of itself, but for what its events have not gone out for yet."
  @spec info(t) :: map
  def info(%__MODULE__{native: native, marks: marks}) do
    case Native.producer_info(native) do
      %{state: :subscribed} = info ->
        if :queue.any(&match?({:state, _}, &1), marks), do: %{info | state: :reading}, else: info

      info ->
        info
    end
  end
end
