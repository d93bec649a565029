// SPDX-License-Identifier: MIT
pragma solidity 0.8.34;

import {IConditionalTokens, IERC20} from "src/Interfaces.sol";
import {TokenReceiver} from "src/TokenReceiver.sol";

/// @title A stand-in for the venue's neg-risk adapter on local chains: it converts the No tokens of an event's questions.
/// @notice At most one question of an event ends with Yes. So k No tokens are worth k - 1 in pUSD and the Yes tokens of
/// all other questions. The pairs come from pUSD that this contract is given beforehand; what it takes in, it keeps.
contract NegRiskAdapterDouble is TokenReceiver {
    struct Question {
        bytes32 conditionId;
        uint256 yesTokenId;
        uint256 noTokenId;
    }

    address public immutable admin;
    address public immutable collateral;
    address public immutable conditionalTokens;

    mapping(bytes32 marketId => Question[]) public questions;

    event PositionsConverted(
        address indexed stakeholder, bytes32 indexed marketId, uint256 indexed indexSet, uint256 amount
    );

    error NotAdmin();
    error InvalidIndexSet();

    constructor(address admin_, address collateral_, address conditionalTokens_) {
        admin = admin_;
        collateral = collateral_;
        conditionalTokens = conditionalTokens_;
    }

    /// The question gets the next index of the event.
    function addQuestion(bytes32 marketId, bytes32 conditionId, uint256 yesTokenId, uint256 noTokenId) external {
        if (msg.sender != admin) revert NotAdmin();
        questions[marketId].push(Question(conditionId, yesTokenId, noTokenId));
    }

    /// `indexSet` has the bit of each question whose No token is given.
    function convertPositions(bytes32 marketId, uint256 indexSet, uint256 amount) external {
        uint256 count = questions[marketId].length;
        uint256 given;
        for (uint256 i = 0; i < count; ++i) {
            given += indexSet >> i & 1;
        }
        if (given == 0 || indexSet >> count != 0) revert InvalidIndexSet();
        _take(marketId, indexSet, amount, given);
        _give(marketId, indexSet, amount, count - given);
        if (given > 1) IERC20(collateral).transfer(msg.sender, (given - 1) * amount);
        emit PositionsConverted(msg.sender, marketId, indexSet, amount);
    }

    function _take(bytes32 marketId, uint256 indexSet, uint256 amount, uint256 given) private {
        (uint256[] memory ids, uint256[] memory amounts) = _batch(given, amount);
        uint256 next;
        for (uint256 i = 0; next < given; ++i) {
            if (indexSet >> i & 1 == 1) ids[next++] = questions[marketId][i].noTokenId;
        }
        _send(msg.sender, address(this), ids, amounts);
    }

    function _give(bytes32 marketId, uint256 indexSet, uint256 amount, uint256 wanted) private {
        if (wanted == 0) return;
        uint256[] memory partition = new uint256[](2);
        (partition[0], partition[1]) = (1, 2);
        IERC20(collateral).approve(conditionalTokens, wanted * amount);
        (uint256[] memory ids, uint256[] memory amounts) = _batch(wanted, amount);
        uint256 next;
        for (uint256 i = 0; next < wanted; ++i) {
            if (indexSet >> i & 1 == 1) continue;
            Question storage question = questions[marketId][i];
            IConditionalTokens(conditionalTokens).splitPosition(
                collateral, bytes32(0), question.conditionId, partition, amount
            );
            ids[next++] = question.yesTokenId;
        }
        _send(address(this), msg.sender, ids, amounts);
    }

    function _batch(uint256 length, uint256 amount)
        private
        pure
        returns (uint256[] memory ids, uint256[] memory amounts)
    {
        ids = new uint256[](length);
        amounts = new uint256[](length);
        for (uint256 i = 0; i < length; ++i) {
            amounts[i] = amount;
        }
    }

    function _send(address from, address to, uint256[] memory ids, uint256[] memory amounts) private {
        IConditionalTokens(conditionalTokens).safeBatchTransferFrom(from, to, ids, amounts, "");
    }
}
