defmodule Penstock.HostProject do
  @moduledoc "The files of a mix project that depends on Penstock, and on nothing else; its Erlang is the example's."

  @erlang Path.expand("../../examples/erlang/src", __DIR__)

  @spec files(keyword) :: [{Path.t(), String.t()}]
  def files(dependency), do: [{"mix.exs", mix(dependency)}, {"lib/host.ex", elixir()} | erlang()]

  defp mix(dependency) do
    """
    defmodule Host.MixProject do
      use Mix.Project

      def project, do: [app: :host, version: "1.0.0", deps: [{:penstock, #{inspect(dependency)}}]]
      def application, do: [extra_applications: [:logger]]
    end
    """
  end

  defp elixir do
    """
    defmodule Host do
      def answer do
        case IO.gets("") do
          "go\\n" ->
            IO.puts(call())
            answer()

          _ ->
            :ok
        end
      end

      def call do
        {:ok, server} = Penstock.EventStore.Server.start_link(port: 0, data_dir: :memory)
        address = Penstock.EventStore.Server.connection_string(server)
        {:ok, store} = Penstock.EventStore.start_link(connection_string: address)
        {:ok, %{revision: 0}} = Penstock.EventStore.append(store, "s", Penstock.Event.new("t", %{"n" => 1}))
        {:ok, [%Penstock.Event{body: %{"n" => 1}}]} = Penstock.EventStore.read(store, "s")
        for process <- [store, server], do: GenServer.stop(process)
        :ok
      end
    end
    """
  end

  defp erlang do
    for name <- File.ls!(@erlang), do: {"src/#{name}", File.read!(Path.join(@erlang, name))}
  end
end
