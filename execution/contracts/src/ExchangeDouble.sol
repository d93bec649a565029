// SPDX-License-Identifier: MIT
pragma solidity 0.8.34;

import {IConditionalTokens, IERC20} from "src/Interfaces.sol";
import {BUY, Order, Orders, SELL} from "src/Orders.sol";
import {TokenReceiver} from "src/TokenReceiver.sol";

/// @title A stand-in for the venue's exchange on local chains.
/// @notice It takes the venue's `matchOrders` and emits the venue's events, written from the published typed data and
/// the published layout of events; no line is the venue's. One operator call settles a taker's order against resting
/// orders: against the other side of the same token by handing over, against the same side of the other token by
/// minting a pair (two buyers) or by merging one (two sellers).
contract ExchangeDouble is Orders, TokenReceiver {
    address public immutable admin;
    address public immutable collateral;
    address public immutable conditionalTokens;
    /// Whether a match moves collateral and tokens, or only says what it would have moved: a local chain has no ledger
    /// for the positions of Protocol V2.
    bool public immutable movesTokens;

    mapping(address operator => bool) public operators;

    event OrderFilled(
        bytes32 indexed orderHash,
        address indexed maker,
        address indexed taker,
        uint8 side,
        uint256 tokenId,
        uint256 makerAmountFilled,
        uint256 takerAmountFilled,
        uint256 fee,
        bytes32 builder,
        bytes32 metadata
    );
    event OrdersMatched(
        bytes32 indexed takerOrderHash,
        address indexed takerOrderMaker,
        uint8 side,
        uint256 tokenId,
        uint256 makerAmountFilled,
        uint256 takerAmountFilled
    );
    event FeeCharged(address indexed receiver, uint256 amount);

    error NotAdmin();
    error NotOperator();
    error LengthsDiffer();
    error NotMatching();
    error NotCrossing();

    /// What the maker orders bring together for the taker.
    struct Sum {
        uint256 shares;
        uint256 cash;
        uint256 minted;
    }

    modifier onlyAdmin() {
        if (msg.sender != admin) revert NotAdmin();
        _;
    }

    constructor(
        string memory domainVersion,
        address admin_,
        address collateral_,
        address conditionalTokens_,
        bool movesTokens_
    ) Orders(domainVersion) {
        admin = admin_;
        collateral = collateral_;
        conditionalTokens = conditionalTokens_;
        movesTokens = movesTokens_;
    }

    function setOperator(address operator, bool allowed) external onlyAdmin {
        operators[operator] = allowed;
    }

    function setUnsignedAllowed(bool allowed) external onlyAdmin {
        unsignedAllowed = allowed;
    }

    /// Fills are in maker amounts: pUSD of a buyer, shares of a seller. Fees are pUSD on top of what a buyer pays and
    /// out of what a seller gets.
    function matchOrders(
        bytes32 conditionId,
        Order calldata taker,
        Order[] calldata makers,
        uint256 takerFill,
        uint256[] calldata makerFills,
        uint256 takerFee,
        uint256[] calldata makerFees
    ) external {
        if (!operators[msg.sender]) revert NotOperator();
        if (makers.length == 0 || makers.length != makerFills.length || makers.length != makerFees.length) {
            revert LengthsDiffer();
        }
        (bytes32 takerHash, uint256 taking) = _fill(taker, takerFill);
        _collectForMerges(taker, makers, makerFills);
        Sum memory sum;
        for (uint256 i = 0; i < makers.length; ++i) {
            _settleMaker(sum, conditionId, taker, makers[i], makerFills[i], makerFees[i]);
        }
        if (sum.minted > 0) _moveTokens(address(this), taker.maker, taker.tokenId, sum.minted);
        taking = _taken(sum, taker, takerFill, taking, makers.length);
        _chargeFee(taker.maker, takerFee);
        _emitFilled(takerHash, taker, address(this), takerFill, taking, takerFee);
        emit OrdersMatched(takerHash, taker.maker, taker.side, taker.tokenId, takerFill, taking);
    }

    function _settleMaker(
        Sum memory sum,
        bytes32 conditionId,
        Order calldata taker,
        Order calldata maker,
        uint256 making,
        uint256 fee
    ) private {
        (bytes32 makerHash, uint256 taking) = _fill(maker, making);
        (uint256 shares, uint256 cash) = maker.side == BUY ? (taking, making) : (making, taking);
        if ((maker.side == taker.side) == (maker.tokenId == taker.tokenId)) revert NotMatching();
        sum.shares += shares;
        if (maker.side != taker.side) {
            sum.cash += cash;
            _handOver(taker, maker, shares, cash);
        } else {
            // Two of one side share the price of a pair, which is 1: nobody may ask or bid more than that.
            if (cash > shares) revert NotCrossing();
            sum.cash += shares - cash;
            if (maker.side == BUY) sum.minted += shares;
            _mintOrMerge(conditionId, taker, maker, shares, cash);
        }
        _chargeFee(maker.maker, fee);
        _emitFilled(makerHash, maker, taker.maker, making, taking, fee);
    }

    function _handOver(Order calldata taker, Order calldata maker, uint256 shares, uint256 cash) private {
        (address buyer, address seller) =
            maker.side == BUY ? (maker.maker, taker.maker) : (taker.maker, maker.maker);
        _pay(buyer, seller, cash);
        _moveTokens(seller, buyer, maker.tokenId, shares);
    }

    function _mintOrMerge(
        bytes32 conditionId,
        Order calldata taker,
        Order calldata maker,
        uint256 shares,
        uint256 cash
    ) private {
        if (!movesTokens) return;
        uint256[] memory partition = new uint256[](2);
        (partition[0], partition[1]) = (1, 2);
        IConditionalTokens tokens = IConditionalTokens(conditionalTokens);
        if (maker.side == BUY) {
            _pay(maker.maker, address(this), cash);
            _pay(taker.maker, address(this), shares - cash);
            IERC20(collateral).approve(conditionalTokens, shares);
            tokens.splitPosition(collateral, bytes32(0), conditionId, partition, shares);
            _moveTokens(address(this), maker.maker, maker.tokenId, shares);
        } else {
            _moveTokens(maker.maker, address(this), maker.tokenId, shares);
            tokens.mergePositions(collateral, bytes32(0), conditionId, partition, shares);
            IERC20(collateral).transfer(maker.maker, cash);
            IERC20(collateral).transfer(taker.maker, shares - cash);
        }
    }

    /// A selling taker hands over what is merged once, before the first maker.
    function _collectForMerges(Order calldata taker, Order[] calldata makers, uint256[] calldata makerFills) private {
        if (taker.side != SELL) return;
        uint256 shares;
        for (uint256 i = 0; i < makers.length; ++i) {
            if (makers[i].side == SELL) shares += makerFills[i];
        }
        if (shares > 0) _moveTokens(taker.maker, address(this), taker.tokenId, shares);
    }

    /// What the taker gets: at least what its order asks for. A micro for each maker order is rounding, more is a
    /// better price than asked for: a buyer keeps the cash, a seller gets it and the event says so.
    function _taken(Sum memory sum, Order calldata taker, uint256 takerFill, uint256 taking, uint256 rounding)
        private
        pure
        returns (uint256)
    {
        if (taker.side == BUY) {
            if (sum.cash > takerFill + rounding || sum.shares < taking) revert NotCrossing();
            return sum.shares;
        }
        if (sum.shares > takerFill || sum.cash + rounding < taking) revert NotCrossing();
        return sum.cash > taking + rounding ? sum.cash : taking;
    }

    function _chargeFee(address payer, uint256 fee) private {
        if (fee == 0) return;
        _pay(payer, admin, fee);
        emit FeeCharged(admin, fee);
    }

    function _pay(address from, address to, uint256 amount) private {
        if (movesTokens) IERC20(collateral).transferFrom(from, to, amount);
    }

    function _moveTokens(address from, address to, uint256 tokenId, uint256 amount) private {
        if (movesTokens) IConditionalTokens(conditionalTokens).safeTransferFrom(from, to, tokenId, amount, "");
    }

    function _emitFilled(
        bytes32 orderHash,
        Order calldata order,
        address counterparty,
        uint256 making,
        uint256 taking,
        uint256 fee
    ) private {
        emit OrderFilled(
            orderHash,
            order.maker,
            counterparty,
            order.side,
            order.tokenId,
            making,
            taking,
            fee,
            order.builder,
            order.metadata
        );
    }
}
