defmodule Penstock.LinearSubscription.Settings do
  @moduledoc false
  # The options of a linear subscription: what each takes, and what start-up makes of them.

  alias Penstock.{Event, EventStore, Filter, Options, Position}
  alias Penstock.Producer.Dispatch

  @read_opts [
    max_count: [
      type: {:check, &__MODULE__.batch?/1, "an integer from 1 to 1000"},
      default: 200,
      doc: "The most events that one message to the consumer carries."
    ],
    resolve_links?: [
      type: :boolean,
      default: true,
      doc: "Whether a link is emitted as the event it leads to, with the link beside it."
    ]
  ]

  @process [
    name: [type: :name, default: nil, doc: "A name of the process, of any kind that `GenServer` takes."],
    timeout: [
      type: :milliseconds,
      default: :infinity,
      doc: "How long the start may take, in ms."
    ],
    debug: [
      type: {:check, &__MODULE__.proper_list?/1, "a list"},
      default: [],
      doc: "As `GenServer` takes it."
    ],
    spawn_opt: [
      type: {:check, &__MODULE__.proper_list?/1, "a list"},
      default: [],
      doc: "As `GenServer` takes it."
    ],
    hibernate_after: [
      type: :milliseconds,
      default: :infinity,
      doc: "How long to wait without a message before hibernating, in ms."
    ]
  ]

  @schema [
            connection: [
              type:
                {:secret, &__MODULE__.connection?/1,
                 "a Penstock.EventStore (its name or pid) or a connection string"},
              required: true,
              doc: "Where the stream is."
            ],
            stream_name: [
              type:
                {:check, &__MODULE__.target?/1,
                 "a string that is not empty, :all, or a list of up to 1000 different strings"},
              required: true,
              doc:
                "The stream to read, `:all` for the log of all streams (see \"All streams\"), or a list of streams (see " <>
                  "\"Several streams in one\")."
            ],
            filter: [
              type: {:or, nil, {:check, &EventStore.Settings.filter?/1, "a Penstock.Filter"}},
              default: nil,
              doc: "Which events of `:all` are wanted; of a single stream it takes nil."
            ],
            credentials: [
              type: EventStore.Keys.credentials(),
              default: nil,
              doc: "Who reads. With nil, the connection's user."
            ],
            restore_stream_position!: [
              type:
                {:check, &__MODULE__.restore?/1,
                 "{module, function, arguments} or a function without arguments"},
              required: true,
              doc: "Called at every start; returns where to go on: see \"Positions\"."
            ],
            read_opts: [type: {:keyword, @read_opts}, default: [], doc: "How to read; see \"Read options\"."],
            json: [
              type: {:in, [:decode, :raw]},
              default: :decode,
              doc: "Whether JSON bodies are decoded to terms or left as they are."
            ],
            copy_bodies?: [
              type: :boolean,
              default: false,
              doc:
                "Whether a body is a binary of its own. Else one above 64 bytes keeps the up to 64 KB that it came in " <>
                  "in memory for as long as it is kept itself."
            ],
            buffer_size: [
              type: :counted,
              default: 10_000,
              doc:
                "How many events may wait, read and not asked for. Then the server is asked to wait; nothing is discarded."
            ],
            buffer_bytes: [
              type: :counted,
              default: 4_194_304,
              doc: "The same in bytes."
            ],
            max_message_size: [
              type: {:check, &__MODULE__.message_size?/1, "an integer from 1024 to 4294967295 (bytes)"},
              default: 17_825_792,
              doc:
                "How large a message of the server, an event with its names and metadata, may be in bytes. A larger one " <>
                  "ends the subscription. The default, 17 MiB, holds what a server takes by default."
            ],
            on_position_beyond_end: [
              type: {:in, [:wait, :stop]},
              default: :wait,
              doc:
                "What to do when the stream ends before the position: wait until it has grown past it, or end with " <>
                  "`:position_beyond_end`; see \"Positions\"."
            ],
            buffer_keep: [
              type: {:in, [:first, :last]},
              default: :last,
              doc: "Taken for the sake of GenStage's options, without effect: a full buffer discards nothing."
            ],
            dispatcher: [
              type: {:cast, &Dispatch.cast/1, Dispatch.takes()},
              default: Penstock.DemandDispatcher,
              doc: "Who gets which events, if there is more than one consumer: see \"Several consumers\"."
            ],
            on_checkpoint: [
              type:
                {:or, nil,
                 {:check, &__MODULE__.told?/1, "{module, function, arguments} or a function of one argument"}},
              default: nil,
              doc:
                "Called with a `Penstock.Position`, in the producer's process, when a filter has let nothing through up to there: " <>
                  "see \"All streams\"."
            ],
            demand: [
              type: {:in, [:forward, :accumulate]},
              default: :forward,
              doc: "`:accumulate` emits nothing until `GenStage.demand(producer, :forward)`."
            ]
          ] ++ @process

  def schema, do: @schema
  def read_schema, do: @read_opts

  def validate!(options) do
    settings = Options.validate!(options, @schema, "Penstock.LinearSubscription")
    target!(settings)
    settings
  end

  defp target!(%{stream_name: :all}), do: :ok

  defp target!(%{stream_name: streams} = settings) when is_list(streams) do
    for stream <- streams,
        do: EventStore.Settings.stream_name!(stream, "Penstock.LinearSubscription: option :stream_name")

    if settings.filter, do: refuse_of_stream!(:filter, settings.filter)
  end

  defp target!(%{stream_name: stream} = settings) do
    EventStore.Settings.stream_name!(stream, "Penstock.LinearSubscription: option :stream_name")

    for option <- [:filter, :on_checkpoint],
        settings[option] != nil,
        do: refuse_of_stream!(option, settings[option])
  end

  @spec refuse_of_stream!(atom, term) :: no_return
  defp refuse_of_stream!(option, got) do
    raise ArgumentError,
          "Penstock.LinearSubscription: option #{inspect(option)} takes nil of named streams (with stream_name: :all the " <>
            "server filters), got: #{inspect(got)}"
  end

  @doc "What is subscribed to, as the Rust core takes it."
  def native_target(%{stream_name: stream}, position) when is_binary(stream), do: {:stream, stream, position}

  def native_target(settings, position) do
    position = if is_struct(position, Position), do: Position.to_native(position), else: position
    {:all, position, settings |> log_filter() |> Filter.to_native()}
  end

  defp log_filter(%{stream_name: :all, filter: filter}), do: filter
  defp log_filter(%{stream_name: streams}), do: Filter.of_streams(streams)

  @spec refuse_spawn_opt!(list) :: no_return
  def refuse_spawn_opt!(options) do
    raise ArgumentError,
          "Penstock.LinearSubscription: option :spawn_opt takes what :erlang.spawn_opt/2 does, but for :monitor, got: " <>
            inspect(options)
  end

  @doc "What goes to the process."
  def process(settings) do
    for {option, spec} <- @process, settings[option] != spec[:default], do: {option, settings[option]}
  end

  @doc "What goes to the Rust core."
  def native(settings, producer) do
    limits = {settings.buffer_size, settings.buffer_bytes, settings.read_opts.max_count}
    bodies = {settings.json == :decode, settings.copy_bodies?}
    {limits, bodies, settings.dispatcher.native, settings.demand, {producer, make_ref()}}
  end

  @doc "How the stream is read."
  def reading(settings),
    do: {settings.read_opts.resolve_links?, settings.max_message_size, settings.on_position_beyond_end}

  @doc "Calls the restoring function; raises when what it returns is no position in the stream."
  def position!(settings) do
    restored = restore(settings.restore_stream_position!)

    case restored do
      edge when edge in [:start, :end] -> edge
      _ when not is_binary(settings.stream_name) -> log_position!(restored, settings)
      %Event{} = event -> event |> Event.revision() |> revision!(event) |> same_stream!(event, settings)
      other -> revision!(other, other)
    end
  end

  defp log_position!(restored, settings) do
    position = if is_struct(restored, Event), do: Event.position(restored), else: restored
    if is_struct(restored, Event), do: one_of_them!(restored, settings)

    if Position.valid?(position) do
      position
    else
      raise ArgumentError,
            "Penstock.LinearSubscription: option :restore_stream_position! takes, for more than one stream, a function that returns " <>
              ":start, :end, a Penstock.Position or a Penstock.Event that was read; it returned: #{inspect(restored)}"
    end
  end

  defp one_of_them!(event, %{stream_name: streams}) when is_list(streams) do
    if Event.stream_name(event) not in [nil | streams] do
      refuse!(
        "it returned an event that was read from #{inspect(Event.stream_name(event))}, and this is a subscription to " <>
          "#{inspect(streams)}: #{inspect(event)}"
      )
    end
  end

  defp one_of_them!(_event, _settings), do: :ok

  defp restore({module, function, arguments}), do: apply(module, function, arguments)
  defp restore(function), do: function.()

  defp revision!(revision, _restored)
       when is_integer(revision) and revision >= 0 and revision < 0x8000_0000_0000_0000,
       do: revision

  defp revision!(revision, %Event{} = event) do
    refuse!(
      "it returned an event whose revision in the stream that it was read from is #{inspect(revision)}" <>
        if(revision == nil, do: " (it was not read from any)", else: "") <> ": #{inspect(event)}"
    )
  end

  defp revision!(other, _restored), do: refuse!("it returned: #{inspect(other)}#{Options.hint(other)}")

  # An event that does not say where it was read from is taken at its revision.
  defp same_stream!(revision, event, %{stream_name: stream}) do
    if Event.stream_name(event) in [stream, nil] do
      revision
    else
      refuse!(
        "it returned an event that was read from #{inspect(Event.stream_name(event))}, and this is a subscription to " <>
          "#{inspect(stream)}: #{inspect(event)}"
      )
    end
  end

  defp refuse!(why) do
    raise ArgumentError,
          "Penstock.LinearSubscription: option :restore_stream_position! takes a function that returns :start, :end, " <>
            "a revision (an integer from 0 on) or a Penstock.Event that was read from the stream; " <>
            why
  end

  def target?(streams) when is_list(streams) do
    proper_list?(streams) and length(streams) in 1..1000 and
      Enum.all?(streams, &(is_binary(&1) and &1 != "")) and Enum.uniq(streams) == streams
  end

  def target?(stream), do: stream == :all or (is_binary(stream) and stream != "" and String.valid?(stream))

  def told?({module, function, arguments}),
    do: is_atom(module) and is_atom(function) and proper_list?(arguments)

  def told?(function), do: is_function(function, 1)

  def message_size?(bytes), do: is_integer(bytes) and bytes in 1024..4_294_967_295
  def batch?(count), do: is_integer(count) and count in 1..1000
  def proper_list?(value), do: is_list(value) and not List.improper?(value)

  def connection?(value) when is_binary(value), do: value != "" and String.valid?(value)
  def connection?(value), do: EventStore.Connection.name?(value)

  def restore?({module, function, arguments}),
    do: is_atom(module) and is_atom(function) and proper_list?(arguments)

  def restore?(function), do: is_function(function, 0)
end
