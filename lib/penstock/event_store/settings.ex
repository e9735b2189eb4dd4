defmodule Penstock.EventStore.Settings do
  @moduledoc false
  # The options of a connection and of its calls.

  alias Penstock.EventStore.Keys
  alias Penstock.{Filter, LinearSubscription, Options, Position}

  @timeout "an integer from 1 to 2147483647, :infinity or nil"
  @most 0x7FFF_FFFF_FFFF_FFFF
  @revision "an integer from 0 on"
  @expectation ":any, :no_stream, :stream_exists or #{@revision} (-1, -2 and -4 of other clients are :no_stream, :any and :stream_exists)"

  def start do
    [
      connection_string: [
        type: {:or, nil, {:secret, &__MODULE__.text?/1, "a string that is not empty"}},
        default: nil,
        doc: "Where the server is: `esdb://host:port?tls=false`. Required where there are no `:hosts`."
      ],
      name: [type: :name, default: nil, doc: "A name of the process, of any kind that `GenServer` takes."]
    ] ++ Keys.schema()
  end

  @doc "The options that are no key of a connection string."
  @spec start_docs() :: String.t()
  def start_docs,
    do:
      start() |> Keyword.take([:connection_string, :name, :hosts, :discover, :credentials]) |> Options.docs()

  @doc "Who makes a call, where it is not the connection's user."
  def credentials,
    do: [
      credentials: [
        type: Keys.credentials(),
        default: nil,
        doc: "Who makes the call. With nil, the connection's user."
      ]
    ]

  @doc "Arguments of a start that nobody sees: supervisors and crash reports show what they are given."
  @spec hide(term) :: term
  def hide(options), do: fn -> options end

  @doc "What was hidden."
  @spec reveal(term) :: term
  def reveal(hidden) when is_function(hidden, 0), do: hidden.()
  def reveal(options), do: options

  def write do
    [
      expect: [
        type: {:check, &__MODULE__.expectation?/1, @expectation},
        default: :any,
        doc: "What the stream has to be: anything, missing, there, or with this revision as its last."
      ]
    ] ++ timeout()
  end

  def timeout do
    [
      timeout: [
        type: {:check, &__MODULE__.timeout?/1, @timeout},
        default: nil,
        doc:
          "How long the call may take, in ms. With nil, as long as the connection string's `defaultDeadline` says, 10 s by default."
      ]
    ] ++ credentials()
  end

  def read do
    reading() ++
      [
        max_count: [type: :counted, default: 1000, doc: "How many events at most."],
        timeout: [
          type: {:check, &__MODULE__.timeout?/1, @timeout},
          default: nil,
          doc:
            "How long the whole read may take, in ms. Besides, each of its answers may take as long as the connection string's " <>
              "`defaultDeadline` says, 10 s by default."
        ]
      ]
  end

  def stream do
    reading() ++
      [
        max_count: [
          type: {:or, :infinity, :counted},
          default: :infinity,
          doc: "How many events at most."
        ],
        page_size: [
          type: {:integer, 1, 1_000_000},
          default: 500,
          doc: "How many events are read at once, at most."
        ],
        page_bytes: [
          type: {:integer, 1, 4_294_967_295},
          default: 4_194_304,
          doc:
            "A page ends with the event with which it has so many bytes, so that large events do not add up."
        ],
        timeout: [
          type: {:check, &__MODULE__.timeout?/1, @timeout},
          default: nil,
          doc:
            "How long the read of a page may take, in ms. Besides, each of its answers may take as long as the connection string's " <>
              "`defaultDeadline` says, 10 s by default."
        ]
      ]
  end

  defp reading do
    [
      from: [
        type: {:check, &__MODULE__.place?/1, ":start, :end, #{@revision}, or of :all a Penstock.Position"},
        default: :start,
        doc: "The first event, inclusive. `:end` is where reading backwards begins."
      ],
      direction: [type: {:in, [:forwards, :backwards]}, default: :forwards, doc: "Which way to read."],
      filter: [
        type: {:or, nil, {:check, &__MODULE__.filter?/1, "a Penstock.Filter"}},
        default: nil,
        doc: "Which events of `:all` are wanted; of a single stream it takes nil."
      ],
      resolve_links?: [
        type: :boolean,
        default: true,
        doc: "Whether links are read as the events they lead to."
      ],
      json: [type: {:in, [:decode, :raw]}, default: :decode, doc: "Whether JSON bodies are decoded to terms."],
      max_message_size: [
        type:
          {:check, &LinearSubscription.Settings.message_size?/1, "an integer from 1024 to 4294967295 (bytes)"},
        default: 17_825_792,
        doc:
          "How large one event with its names and metadata may be, in bytes; a larger one is `:message_too_large`. The default is 17 MiB."
      ]
    ] ++ credentials()
  end

  @doc "The options of a read, if they are such of what is read; raises for what only the other kind takes."
  @spec of_target!(map, String.t() | :all, String.t()) :: map
  def of_target!(%{from: from} = options, :all, owner) do
    if is_integer(from), do: refuse!(owner, :from, from, ":start, :end or a Penstock.Position of :all")
    options
  end

  def of_target!(options, _stream, owner) do
    if is_struct(options.from),
      do: refuse!(owner, :from, options.from, ":start, :end or #{@revision} of a stream")

    if options.filter, do: refuse!(owner, :filter, options.filter, "nil of a stream; :all is filtered")
    options
  end

  defp refuse!(owner, option, got, takes),
    do: raise(ArgumentError, "#{owner}: option #{inspect(option)} takes #{takes}, got: #{inspect(got)}")

  @doc "The name of a stream; raises for what is none, naming `what` was to have it."
  @spec stream_name!(term, String.t()) :: String.t()
  def stream_name!("$all", what) do
    raise ArgumentError,
          "#{what} cannot be \"$all\": that is no stream but the log of all streams, which reads know as :all"
  end

  def stream_name!(stream, what) do
    if is_binary(stream) and stream != "" and String.valid?(stream) do
      stream
    else
      raise ArgumentError,
            "#{what} takes a string that is not empty, got: #{inspect(stream)}#{Options.hint(stream)}"
    end
  end

  @doc "What a supervisor calls a child: by its name, for there may be several."
  @spec id(term, module) :: term
  def id(options, module), do: (Keyword.keyword?(options) && options[:name]) || module

  def native_read(options) do
    {options.direction, options.max_count, options.resolve_links?, options.json == :decode,
     options.max_message_size, options[:page_bytes], options.timeout}
  end

  def native_write(options), do: {options.expect, options.timeout}

  def text?(value), do: is_binary(value) and value != "" and String.valid?(value)

  def timeout?(value), do: value in [nil, :infinity] or (is_integer(value) and value in 1..2_147_483_647)

  def expectation?(value), do: value in [:any, :no_stream, :stream_exists] or revision?(value)
  def place?(value), do: value in [:start, :end] or revision?(value) or Position.valid?(value)

  def filter?(value), do: is_struct(value, Filter)

  defp revision?(value), do: is_integer(value) and value in 0..@most
end
