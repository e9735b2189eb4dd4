%% Penstock from Erlang: an embedded server, appended events, and a consumer that is handed them in order.
-module(orders).
-export([main/0]).

-define(STREAM, <<"orders">>).

main() ->
    {ok, Server} = 'Elixir.Penstock.EventStore.Server':start_link([{port, 0}, {data_dir, memory}]),
    Address = 'Elixir.Penstock.EventStore.Server':connection_string(Server),
    {ok, Store} = 'Elixir.Penstock.EventStore':start_link([{connection_string, Address}]),

    {ok, #{revision := 2}} = append(Store, [0, 1, 2], [{expect, no_stream}]),
    {error, #{reason := wrong_expected_version}} = append(Store, [9], [{expect, no_stream}]),
    {ok, [_, #{body := #{<<"number">> := 1}}, _]} = 'Elixir.Penstock.EventStore':read(Store, ?STREAM),

    {ok, Producer} = 'Elixir.Penstock.LinearSubscription':start_link([
        {name, orders_producer},
        {connection, Store},
        {stream_name, ?STREAM},
        % In a program of yours: what 'Elixir.Penstock.Event':revision/1 says of the last event that was handled. Let a
        % supervisor start the producer and its handler, with one_for_all, so that an event that failed comes again.
        {'restore_stream_position!', fun() -> start end}
    ]),
    {ok, Handler} = 'Elixir.Penstock.Stage':start_link(order_handler, {Producer, self()}),
    [handled(Number) || Number <- [0, 1, 2]],

    {ok, #{revision := 3}} = append(Store, [3], []),
    handled(3),

    [ok = gen_server:stop(Process) || Process <- [Handler, Producer, Store, Server]],
    io:format("handled orders 0 to 3, the last one as it was appended~n").

append(Store, Numbers, Options) ->
    Events = ['Elixir.Penstock.Event':new(<<"order-placed">>, #{<<"number">> => Number}) || Number <- Numbers],
    'Elixir.Penstock.EventStore':append(Store, ?STREAM, Events, Options).

handled(Number) ->
    receive
        {handled, Number} -> ok
    after 30000 -> error({not_handled, Number})
    end.
